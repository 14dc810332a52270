//~ E0597 does not live long enough
pub fn offload(pool: &corio::Executor) {
    let local = String::new();
    let borrow = &local;
    drop(pool.spawn(move || borrow.len()));
}
