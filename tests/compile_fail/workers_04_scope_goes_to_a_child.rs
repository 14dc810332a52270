//~ E0277 cannot be shared between threads safely
pub fn share(workers: &corio::Workers) -> std::io::Result<()> {
    workers.scope(|s| {
        s.spawn(move || drop(s.spawn(|| ())));
        Ok(())
    })
}
