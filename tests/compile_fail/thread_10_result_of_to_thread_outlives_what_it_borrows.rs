//~ E0597 does not live long enough
pub fn escape() -> usize {
    let longest: &str;
    {
        let text = String::from("inner");
        longest = corio::to_thread(|| text.as_str()).unwrap();
    }
    longest.len()
}
