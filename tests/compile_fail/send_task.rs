//~ E0277 cannot be sent between threads safely
pub fn leave(handle: corio::Task) {
    std::thread::spawn(move || drop(handle));
}
