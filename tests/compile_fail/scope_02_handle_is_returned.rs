//~ - lifetime may not live long enough
pub fn escape() {
    let _ = corio::scope(|s| Ok(s.spawn(|| ())));
}
