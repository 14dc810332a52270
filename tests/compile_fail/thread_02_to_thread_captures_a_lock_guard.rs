//~ E0277 cannot be sent between threads safely
pub fn offload(lock: &std::sync::Mutex<u32>) {
    let guard = lock.lock().unwrap();
    let _ = corio::to_thread(move || *guard);
}
