//~ E0277 cannot be sent between threads safely
pub fn leave(sender: corio::channel::oneshot::Sender<std::rc::Rc<u8>>) {
    std::thread::spawn(move || drop(sender));
}
