//~ E0597 does not live long enough
pub fn escape() -> std::io::Result<()> {
    corio::scope(|s| {
        let local = String::new();
        let borrow = &local;
        s.spawn(move || println!("{borrow}"));
        Ok(())
    })
}
