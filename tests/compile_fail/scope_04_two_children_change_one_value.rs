//~ E0499 more than once at a time
pub fn escape() -> std::io::Result<()> {
    let mut shared = 0;
    corio::scope(|s| {
        s.spawn(|| shared += 1);
        s.spawn(|| shared += 1);
        Ok(())
    })
}
