//~ E0521 borrowed data escapes outside of closure
pub fn escape() -> std::io::Result<()> {
    let mut outside = None;
    corio::scope(|s| {
        outside = Some(s.spawn(|| ()));
        Ok(())
    })?;
    drop(outside);
    Ok(())
}
