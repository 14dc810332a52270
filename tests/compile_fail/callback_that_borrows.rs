//~ E0597 does not live long enough
pub fn escape() {
    let local = String::new();
    let borrow = &local;
    corio::call_soon(move || println!("{borrow}"));
}
