//~ E0277 cannot be shared between threads safely
pub fn offload() {
    let cell = std::cell::Cell::new(1);
    let _ = corio::to_thread(|| cell.set(2));
}
