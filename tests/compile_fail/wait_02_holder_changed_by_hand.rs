//~ E0599 no method named `holder`
use corio::{Mutex, Wait};

pub fn set_free(lock: &Mutex<i32>) {
    fn is_wait(_: impl Wait) {}
    is_wait(lock);
    lock.holder().unwrap().set(0);
}
