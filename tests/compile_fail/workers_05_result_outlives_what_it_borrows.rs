//~ E0597 does not live long enough
pub fn outlive(workers: &corio::Workers) -> std::io::Result<()> {
    let kept: &str;
    {
        let text = String::from("gone");
        kept = workers.scope(|s| s.spawn(|| Ok(text.as_str())).join())?;
    }
    println!("{kept}");
    Ok(())
}
