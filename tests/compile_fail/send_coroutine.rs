//~ E0277 cannot be sent between threads safely
pub fn leave(handle: corio::Coroutine<(), u32>) {
    std::thread::spawn(move || drop(handle));
}
