//~ E0277 cannot be shared between threads safely
pub fn leave(y: &corio::Yielder<(), u32>) {
    std::thread::scope(|threads| {
        threads.spawn(|| drop(y.yield_(1)));
    });
}
