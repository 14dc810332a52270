//~ E0597 does not live long enough
pub fn escape() {
    let local = String::new();
    let borrow = &local;
    let _generator = corio::Generator::<usize>::new(move |y| {
        y.yield_(borrow.len())?;
        Ok(())
    });
}
