//! What all handles of one socket share: whether it was closed, and how many handles there are.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error;

/// A handle's part in it: a clone is another handle's.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<AtomicBool>);

impl Shared {
    pub(super) fn close(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Fails if the socket was closed.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.is_closed() { Err(error::closed()) } else { Ok(()) }
    }

    /// Fails while there is another handle, because the mode of the socket is to change: that one's loop would block.
    pub(super) fn check_alone(&self) -> io::Result<()> {
        if Arc::strong_count(&self.0) > 1 { Err(error::still_shared()) } else { Ok(()) }
    }
}
