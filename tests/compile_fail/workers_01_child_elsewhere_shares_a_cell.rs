//~ E0277 cannot be shared between threads safely
pub fn share(workers: &corio::Workers) -> std::io::Result<()> {
    let cell = std::cell::Cell::new(1);
    workers.scope(|s| {
        s.spawn(|| cell.set(2));
        Ok(())
    })
}
