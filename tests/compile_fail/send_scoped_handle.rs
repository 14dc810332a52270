//~ E0277 cannot be sent between threads safely
pub fn leave(handle: corio::ScopedJoinHandle<'static, u32>) {
    std::thread::spawn(move || drop(handle));
}
