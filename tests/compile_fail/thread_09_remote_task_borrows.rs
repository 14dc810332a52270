//~ E0597 does not live long enough
pub fn send(handle: &corio::LoopHandle) {
    let local = String::new();
    let borrow = &local;
    drop(handle.spawn(move || println!("{borrow}")));
}
