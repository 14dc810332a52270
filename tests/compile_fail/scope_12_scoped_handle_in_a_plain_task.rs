//~ E0521 borrowed data escapes outside of closure
pub fn escape() -> std::io::Result<()> {
    corio::scope(|s| {
        let child = s.spawn(|| ());
        drop(corio::spawn(move || child.join()));
        Ok(())
    })
}
