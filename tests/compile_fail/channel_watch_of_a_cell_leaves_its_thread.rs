//~ E0277 cannot be shared between threads safely
pub fn leave(receiver: corio::channel::watch::Receiver<std::cell::Cell<u8>>) {
    std::thread::spawn(move || drop(receiver));
}
