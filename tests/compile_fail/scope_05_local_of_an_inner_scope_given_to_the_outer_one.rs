//~ E0597 does not live long enough
pub fn escape() -> std::io::Result<()> {
    corio::scope(|outer| {
        let local = String::new();
        let borrow = &local;
        corio::scope(|_inner| {
            outer.spawn(move || println!("{borrow}"));
            Ok(())
        })
    })
}
