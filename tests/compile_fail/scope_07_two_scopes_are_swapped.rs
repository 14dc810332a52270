//~ E0521 borrowed data escapes outside of closure
pub fn escape() -> std::io::Result<()> {
    corio::scope(|outer| {
        let mut longest_lived = outer;
        corio::scope(|inner| {
            longest_lived = inner;
            Ok(())
        })?;
        longest_lived.spawn(|| ());
        Ok(())
    })
}
