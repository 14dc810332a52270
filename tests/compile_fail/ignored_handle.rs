//~ - dropping the handle detaches the task
#![deny(unused_must_use)]
pub fn detach() {
    corio::spawn(|| ());
}
