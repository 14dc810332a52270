//~ E0277 cannot be sent between threads safely
pub fn leave(handle: &corio::LoopHandle) {
    let local = std::rc::Rc::new(1);
    let _ = handle.call_soon(move || drop(local));
}
