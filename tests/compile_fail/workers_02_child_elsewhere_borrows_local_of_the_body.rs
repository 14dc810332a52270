//~ E0597 does not live long enough
pub fn escape(workers: &corio::Workers) -> std::io::Result<()> {
    workers.scope(|s| {
        let local = String::new();
        let borrow = &local;
        s.spawn(move || println!("{borrow}"));
        Ok(())
    })
}
