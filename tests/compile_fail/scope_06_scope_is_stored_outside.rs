//~ E0521 borrowed data escapes outside of closure
use corio::Scope;

pub fn escape() -> std::io::Result<()> {
    let mut outside: Option<&Scope<'_, '_>> = None;
    corio::scope(|s| {
        outside = Some(s);
        Ok(())
    })?;
    outside.unwrap().spawn(|| ());
    Ok(())
}
