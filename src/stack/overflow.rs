//! The message when a stack overflows.
//!
//! A guard turns an overflow into a memory fault, and a memory fault ends the process with two
//! words. This handler looks whether the address is in one of our guards, and if so says whose
//! stack it was, how large, and how to enlarge it; then it aborts. Any other fault goes to the
//! handler that was there before, such as the one with which `std` watches over its own threads.
//!
//! Everything from [`on_fault`] down runs in a signal handler, at any point of any program: no
//! lock, no memory, no formatting by `std`, nothing that can panic.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::{Once, OnceLock};

use super::slab::{Slab, Slot};
use super::{Owner, OwnerKind};
use crate::sys;

/// The faults that a guard can cause; which one depends on the system.
const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// What was to be done about them before us.
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [const { OnceLock::new() }; 2];

/// Room on an alternate signal stack besides what the kernel saves there. Handlers that were
/// installed before ours run on it too.
const SIGNAL_STACK: usize = 64 * 1024;

/// Room without which our own handler might not run.
const LEAST_SIGNAL_STACK: usize = 4 * 1024;

thread_local! {
    static PREPARED: Cell<bool> = const { Cell::new(false) };
}

/// Makes sure that overflows on this thread are reported. Cheap when it has been called before.
pub(crate) fn prepare_thread() {
    static INSTALLED: Once = Once::new();
    if !PREPARED.get() {
        INSTALLED.call_once(install);
        provide_signal_stack();
        PREPARED.set(true);
    }
}

fn install() {
    for (&signal, previous) in SIGNALS.iter().zip(&PREVIOUS) {
        // SAFETY: all zeros is a `sigaction`: the default action, no flags, no mask.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: only asks. What was there must be known before the first fault can arrive.
        if unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } != 0 {
            continue;
        }
        let previous = previous.get_or_init(|| action);
        // With the mask of the previous handler, since we may be going to call it.
        action.sa_mask = previous.sa_mask;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        action.sa_sigaction = on_fault as *const () as usize;
        // SAFETY: `on_fault` has the signature that SA_SIGINFO asks for, and does only what a
        // signal handler may.
        unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    }
}

/// An overflowed stack has no room for a handler. Threads started by `std` have another stack for
/// it; others get one here. It is never freed: that would take a destructor at the thread's end.
fn provide_signal_stack() {
    // SAFETY: all zeros is a `stack_t`.
    let mut stack: libc::stack_t = unsafe { mem::zeroed() };
    // SAFETY: only asks.
    if unsafe { libc::sigaltstack(ptr::null(), &raw mut stack) } != 0 {
        return;
    }
    let frame = sys::signal_frame_size();
    let missing = stack.ss_flags & libc::SS_DISABLE != 0;
    if !missing && stack.ss_size >= frame.saturating_add(LEAST_SIGNAL_STACK) {
        return;
    }
    let size = frame.saturating_add(SIGNAL_STACK);
    match sys::allocate(size) {
        Ok(addr) => {
            stack.ss_sp = ptr::without_provenance_mut(addr);
            stack.ss_size = size;
            stack.ss_flags = 0;
            // SAFETY: writable memory that nobody else uses and that is never unmapped.
            unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
        }
        Err(error) => log::warn!("no signal stack, so an overflow will not be reported: {error}"),
    }
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes the description of the fault.
    let (addr, code) = unsafe { ((*info).si_addr().addr(), (*info).si_code) };
    // Codes up to 0 mean that some process sent the signal; then there is no address.
    let faulted = code > 0;
    let guard_of = Slab::find(addr).filter(|slot| faulted && addr < slot.low());
    match guard_of {
        // SAFETY: the kernel passes the interrupted registers.
        Some(slot) => report(slot, addr, unsafe { interrupted_sp(context) }),
        // SAFETY: passes on what the kernel passed.
        None => unsafe { forward(signal, faulted, info, context) },
    }
}

/// Does with a fault that is not ours what would have been done without us.
///
/// # Safety
///
/// The arguments are those of a signal handler that is running.
unsafe fn forward(signal: c_int, faulted: bool, info: *mut libc::siginfo_t, context: *mut c_void) {
    let at = usize::from(signal != SIGNALS[0]);
    let previous = PREVIOUS[at].get();
    let handler = previous.map_or(libc::SIG_DFL, |action| action.sa_sigaction);
    match (handler, previous) {
        (libc::SIG_IGN, _) if !faulted => {}
        (libc::SIG_DFL | libc::SIG_IGN, _) | (_, None) => {
            // The instruction faults again as soon as we return, and meets the default: the
            // process dies with the right signal and the right core. A signal that was sent
            // has to be sent again.
            // SAFETY: all zeros is the default action, and setting it is allowed in a handler.
            unsafe {
                let default: libc::sigaction = mem::zeroed();
                libc::sigaction(signal, &raw const default, ptr::null_mut());
                if !faulted {
                    libc::raise(signal);
                }
            }
        }
        (handler, Some(action)) if action.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: with SA_SIGINFO and neither of the two constants, it is such a function.
            let handler = unsafe { mem::transmute::<usize, Handler>(handler) };
            handler(signal, info, context);
        }
        (handler, Some(_)) => {
            // SAFETY: without SA_SIGINFO and neither of the two constants, it is such a function.
            let handler = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
            handler(signal);
        }
    }
}

/// The stack pointer at the fault, where we know how to find it.
///
/// # Safety
///
/// `context` is the third argument of a signal handler that is running.
#[allow(unreachable_code, unused_unsafe, unused_variables)] // on systems without a line below
unsafe fn interrupted_sp(context: *mut c_void) -> Option<usize> {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the caller's promise; the fields are those that the system documents.
    unsafe {
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        return usize::try_from((*context).uc_mcontext.gregs[libc::REG_RSP as usize]).ok();
        #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
        return usize::try_from((*context).uc_mcontext.sp).ok();
        #[cfg(all(target_vendor = "apple", target_arch = "x86_64"))]
        return usize::try_from((*(*context).uc_mcontext).__ss.__rsp).ok();
        #[cfg(all(target_vendor = "apple", target_arch = "aarch64"))]
        return usize::try_from((*(*context).uc_mcontext).__ss.__sp).ok();
    }
    None
}

/// Says whose guard was hit, and by whom, and aborts.
fn report(slot: &Slot, addr: usize, sp: Option<usize>) -> ! {
    // It is an overflow if the one who ran was on this very stack. Anybody else's stray pointer
    // must not be blamed on the task whose guard it happened to hit.
    let overflowed = sp.is_none_or(|sp| (slot.limit().get()..=slot.top()).contains(&sp));
    // SAFETY: the owner of a taken stack stays in place (`take`), and if it overflowed it is what
    // this thread was running. After a stray access it may be another thread's, and going away
    // as we read: then the worst is a second fault, which ends the process as this one does.
    let owner = unsafe { slot.owner().as_ref() };

    let mut text = Text::new();
    text.add("corio: ");
    if overflowed {
        text.owner(owner);
        text.add(" overflowed its stack of ");
        text.number(slot.size().bytes() as u64 / 1024);
        text.add(" KiB");
        text.place(owner);
        text.add(". Give it more with RUST_MIN_STACK (bytes), or a spawned task with Builder::stack_size.\n");
    } else {
        text.add("a stray access to ");
        text.address(addr);
        text.add(" hit the guard below the stack of ");
        match owner {
            Some(_) => text.owner(owner),
            None => text.add("nobody"),
        }
        text.place(owner);
        text.add(". It came from another stack: some unsafe code uses a wrong pointer.\n");
    }
    text.print();
    // SAFETY: ends the process; allowed in a handler.
    unsafe { libc::abort() }
}

/// A line of text, put together without memory or `std::fmt`. What does not fit is cut off.
struct Text {
    bytes: [u8; 1024],
    len: usize,
}

impl Text {
    /// Names come from anywhere, and the rest of the line matters more.
    const MAX_NAME: usize = 128;

    fn new() -> Self {
        Self { bytes: [0; 1024], len: 0 }
    }

    fn add(&mut self, text: &str) {
        self.add_bytes(text.as_bytes());
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
            self.len += 1;
        }
    }

    fn number(&mut self, number: u64) {
        self.digits(number, 10);
    }

    fn address(&mut self, addr: usize) {
        self.add("0x");
        self.digits(addr as u64, 16);
    }

    fn digits(&mut self, mut number: u64, radix: u64) {
        let mut digits = [0; 20];
        let mut first = digits.len();
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = match (number % radix) as u8 {
                value @ 0..10 => b'0' + value,
                value => b'a' + (value - 10),
            };
            first = at;
            number /= radix;
            if number == 0 {
                break;
            }
        }
        self.add_bytes(digits.get(first..).unwrap_or_default());
    }

    /// `task "name" (id 7)`, `task 7`, `a task`, and the same for coroutines.
    fn owner(&mut self, owner: Option<&Owner>) {
        let Some(owner) = owner else {
            return self.add("a coroutine");
        };
        let (kind, a_kind) = match owner.kind() {
            OwnerKind::Task => ("task", "a task"),
            OwnerKind::Coroutine => ("coroutine", "a coroutine"),
        };
        let id = owner.id();
        // SAFETY: the text is there, by the promise made to `set_name`.
        if let Some(name) = unsafe { owner.name.get().as_ref() } {
            let name = name.as_bytes();
            self.add(kind);
            self.add(" \"");
            self.add_bytes(&name[..name.len().min(Self::MAX_NAME)]);
            self.add("\"");
            if id != 0 {
                self.add(" (id ");
                self.number(id);
                self.add(")");
            }
        } else if id != 0 {
            self.add(kind);
            self.add(" ");
            self.number(id);
        } else {
            self.add(a_kind);
        }
    }

    /// ` (spawned at src/main.rs:12:5)`
    fn place(&mut self, owner: Option<&Owner>) {
        let Some(owner) = owner else { return };
        self.add(match owner.kind() {
            OwnerKind::Task => " (spawned at ",
            OwnerKind::Coroutine => " (created at ",
        });
        self.add(owner.spawned_at.file());
        self.add(":");
        self.number(owner.spawned_at.line().into());
        self.add(":");
        self.number(owner.spawned_at.column().into());
        self.add(")");
    }

    fn print(&self) {
        let text = self.bytes.get(..self.len).unwrap_or_default();
        // SAFETY: the bytes of a slice. If standard error is closed, nobody can be told.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    }
}
