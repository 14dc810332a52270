//~ E0277 cannot be sent between threads safely
pub fn offload(pool: &corio::Executor) {
    let task = corio::current();
    let _ = pool.run(move || task.cancel());
}
