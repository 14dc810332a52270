//~ E0277 cannot be shared between threads safely
pub fn leave() -> std::io::Result<()> {
    corio::scope(|s| {
        std::thread::scope(|threads| {
            threads.spawn(|| s.cancel());
        });
        Ok(())
    })
}
