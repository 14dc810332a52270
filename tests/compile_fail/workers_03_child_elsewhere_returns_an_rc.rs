//~ E0277 cannot be sent between threads safely
pub fn bring(workers: &corio::Workers) -> std::io::Result<()> {
    workers.scope(|s| {
        s.spawn(|| Ok(std::rc::Rc::new(1)));
        Ok(())
    })
}
