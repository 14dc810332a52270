//~ E0277 wrap a plain value in `Ok(..)`
pub fn body() {
    let _ = corio::spawn(|| 7);
}
