//~ E0277 cannot be sent between threads safely
pub fn offload() {
    let local = std::rc::Rc::new(1);
    let _ = corio::to_thread(move || drop(local));
}
