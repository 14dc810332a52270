//! A fork of the process begins with nothing of its parent's: no listeners, no watch, no handler of ours.
//!
//! What it has inherited would not do. The thread that tells the listeners is not there, and the pipes are its parent's as
//! well: a byte that the fork writes wakes the parent. So what the system did at a signal before anybody asked, it does again
//! in the fork, and the first who asks there begins anew.
//!
//! The locks of the table and of the list of listeners are held during the fork, or they might be locked in it for ever by a
//! thread that it does not have. Signals are held back for as long, or one of them could meet the fork before this has been
//! done. Each listener has locks of its own, which are not held, as there may be any number of them. A fork takes none of an
//! inherited listener: whoever is about to looks first whose it is.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::{MutexGuard, Once};

use super::listener::{self, Ears};
use super::table::{self, Table};
use crate::sys;

struct Held {
    mask: libc::sigset_t,
    ears: MutexGuard<'static, Ears>,
    table: MutexGuard<'static, Table>,
}

thread_local! {
    /// From before a fork until after it, on the thread that forks. It has no destructor, so it is there on every thread for as
    /// long as that runs.
    static HELD: Cell<Option<ManuallyDrop<Held>>> = const { Cell::new(None) };
}

/// Lets forks begin with nothing, from now on.
pub(super) fn mind_forks() {
    sys::count_forks();
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        // SAFETY: before the fork nothing but locks is taken, in the order that everybody takes them in. In the fork there are
        // stores, `sigaction`, and the release of locks that the same thread has taken: nothing allocates or frees.
        unsafe { libc::pthread_atfork(Some(before), Some(in_the_parent), Some(in_the_child)) };
    });
}

extern "C" fn before() {
    let mask = sys::hold_signals_back();
    // In that order: whoever has the second never asks for the first.
    let (ears, table) = (listener::ears(), table::table());
    HELD.set(Some(ManuallyDrop::new(Held { mask, ears, table })));
}

extern "C" fn in_the_parent() {
    if let Some(held) = HELD.take() {
        ManuallyDrop::into_inner(held).release();
    }
}

extern "C" fn in_the_child() {
    if let Some(held) = HELD.take() {
        let mut held = ManuallyDrop::into_inner(held);
        held.ears.forget_the_parents();
        held.table.put_back_the_parents();
        held.release();
    }
}

impl Held {
    fn release(self) {
        drop((self.table, self.ears));
        sys::hold_back_only(&self.mask);
    }
}
