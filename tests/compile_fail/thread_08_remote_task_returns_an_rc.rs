//~ E0277 cannot be sent between threads safely
pub fn send(handle: &corio::LoopHandle) {
    drop(handle.spawn(|| Ok(std::rc::Rc::new(1))));
}
