//~ E0597 does not live long enough
pub fn escape() {
    let local = String::new();
    let borrow = &local;
    drop(corio::spawn(move || println!("{borrow}")));
}
