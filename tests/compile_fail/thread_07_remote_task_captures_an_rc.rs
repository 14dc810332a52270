//~ E0277 cannot be sent between threads safely
pub fn send(handle: &corio::LoopHandle) {
    let local = std::rc::Rc::new(1);
    drop(handle.spawn(move || println!("{local}")));
}
