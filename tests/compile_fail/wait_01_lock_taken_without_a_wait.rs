//~ E0624 method `take` is private
use corio::{MutexGuard, Wait};

pub fn steal<'a, W: Wait<Output = MutexGuard<'a, i32>>>(mut lock: W) -> MutexGuard<'a, i32> {
    lock.take(0, &Default::default())
}
