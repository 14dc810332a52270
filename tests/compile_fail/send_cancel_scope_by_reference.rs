//~ E0277 cannot be shared between threads safely
pub fn leave(limit: &corio::CancelScope) {
    std::thread::scope(|threads| {
        threads.spawn(|| limit.cancel());
    });
}
