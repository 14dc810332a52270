//! Reaps the children that nobody waits for any more.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::child::Process;

/// How long at most a child that has ended stays a zombie, when nobody waits for it.
const PATIENCE: Duration = Duration::from_millis(100);

type Orphan = Arc<Mutex<Process>>;

/// Takes a child over whose owner is gone. A thread looks after all of them; where none can be started, this one waits for the
/// end of the child, which is rather kept waiting than forgotten.
pub(super) fn reap(orphan: Orphan) {
    static REAPER: OnceLock<Option<Sender<Orphan>>> = OnceLock::new();
    let reaper = REAPER.get_or_init(|| {
        let (orphans, inbox) = channel::<Orphan>();
        let look_after_them = move || {
            let mut left: Vec<Orphan> = Vec::new();
            loop {
                let next = if left.is_empty() { inbox.recv().ok() } else { inbox.recv_timeout(PATIENCE).ok() };
                left.extend(next);
                left.retain(|orphan| {
                    let mut process = orphan.lock().unwrap_or_else(PoisonError::into_inner);
                    matches!(process.try_wait(), Ok(None))
                });
            }
        };
        let thread = thread::Builder::new().name("corio-reaper".to_owned()).stack_size(64 * 1024);
        thread.spawn(look_after_them).ok().map(|_| orphans)
    });
    let refused = match reaper {
        Some(reaper) => reaper.send(orphan).err().map(|refused| refused.0),
        None => Some(orphan),
    };
    if let Some(orphan) = refused {
        orphan.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }
}
