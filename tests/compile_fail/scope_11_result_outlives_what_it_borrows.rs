//~ E0505 cannot move out of `lent`
pub fn escape() -> std::io::Result<()> {
    let lent = String::new();
    let text = corio::scope(|s| s.spawn(|| Ok(lent.as_str())).join())?;
    drop(lent);
    println!("{text}");
    Ok(())
}
