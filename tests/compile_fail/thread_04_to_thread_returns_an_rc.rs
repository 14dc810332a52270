//~ E0277 cannot be sent between threads safely
pub fn offload() {
    let _ = corio::to_thread(|| std::rc::Rc::new(1));
}
