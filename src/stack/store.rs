//! The process-wide store: opens new stacks, and keeps those that no loop holds on to.

use std::env;
use std::io;
use std::ptr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::limits::{self, Mappings};
use super::overflow::prepare_thread;
use super::slab::{FIRST_SLOTS, GUARD, GuardKind, List, Slab, Slot};
use super::{Owner, Stack, StackSize};

/// How many stacks a cache is given at a time.
const BATCH: usize = 64;

/// How many are opened at a time at first. As many as there are already later, up to a batch.
const FIRST_BATCH: usize = 4;

/// Bounds for one slab. Its table of slots is filled in when it is reserved.
const MAX_SLOTS: usize = 8192;
const MAX_SLAB: usize = 64 * 1024 * 1024 * 1024;

/// How many given back by `give_shared` keep their memory, per class.
const WARM: usize = 64;

static STORE: Mutex<Store> = Mutex::new(Store { classes: Vec::new(), mappings: Mappings::new(), guard_kind: None });

/// Takes a stack for a coroutine outside any loop.
///
/// # Errors
///
/// As for [`StackCache::reserve`](super::StackCache::reserve).
pub(crate) fn take_shared(size: StackSize, owner: *const Owner) -> io::Result<Stack> {
    prepare_thread();
    let slot = with_class(size, |class, guards| -> io::Result<&'static Slot> {
        if let Some(slot) = class.pop_warm() {
            return Ok(slot);
        }
        class.fill(guards)?;
        Ok(class.cold.pop().expect("a filled class has a slot"))
    })?;
    slot.set_owner(owner);
    Ok(Stack(slot))
}

/// Gives back what [`take_shared`] gave.
///
/// # Safety
///
/// The coroutine on it returned or fully unwound, or never started.
pub(crate) unsafe fn give_shared(stack: Stack) {
    let slot = stack.0;
    slot.set_owner(ptr::null());
    let kept = with_class(slot.size(), |class, _| {
        let keep = class.warm_count < WARM;
        if keep {
            class.warm_count += 1;
            class.warm.push(slot);
        }
        keep
    });
    if !kept {
        let list = List::new();
        list.push(slot);
        // SAFETY: nothing is on this stack, by the caller's promise.
        unsafe { put(slot.size(), &list) };
    }
}

/// How the newest guard was made; `None` before the first.
#[cfg(test)]
pub(crate) fn guard_kind() -> Option<GuardKind> {
    lock().guard_kind
}

/// Moves one or more free stacks, at most a batch, into a list; says how many.
pub(super) fn draw(size: StackSize, into: &List) -> io::Result<usize> {
    with_class(size, |class, guards| {
        if class.cold.is_empty()
            && let Some(slot) = class.pop_warm()
        {
            into.push(slot);
            return Ok(1);
        }
        class.fill(guards)?;
        let mut count = 0;
        while count < BATCH
            && let Some(slot) = class.cold.pop()
        {
            into.push(slot);
            count += 1;
        }
        Ok(count)
    })
}

/// Takes back all stacks of a list, and hands their memory to the kernel first.
///
/// # Safety
///
/// No coroutine is on any of them.
pub(super) unsafe fn put(size: StackSize, list: &List) {
    for slot in list.iter() {
        // SAFETY: free, by the caller's promise.
        unsafe { slot.discard() };
    }
    with_class(size, |class, _| {
        while let Some(slot) = list.pop() {
            class.cold.push(slot);
        }
    });
}

struct Store {
    classes: Vec<Class>,
    mappings: Mappings,
    guard_kind: Option<GuardKind>,
}

/// The stacks of one size.
struct Class {
    size: StackSize,
    /// Free, with pages in memory; only `give_shared` leaves such here.
    warm: List,
    warm_count: usize,
    /// Free, without memory: never used, or trimmed.
    cold: List,
    /// The slab whose slots are being opened, and how many of them are.
    slab: Option<&'static Slab>,
    opened: usize,
    /// Opened in all slabs.
    total: usize,
    /// Whether the present slab takes light guards, as far as we know.
    light: bool,
}

/// What making guards needs to know of the rest of the store.
struct Guards<'a> {
    mappings: &'a mut Mappings,
    kind: &'a mut Option<GuardKind>,
}

fn lock() -> MutexGuard<'static, Store> {
    // Nothing in here panics half-way through a change.
    STORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `f` with the class of that size, under the lock. What there is to log is logged after
/// the lock is released, since a logger is anybody's code.
fn with_class<R>(size: StackSize, f: impl FnOnce(&mut Class, &mut Guards<'_>) -> R) -> R {
    let mut guard = lock();
    let store = &mut *guard;
    let at = match store.classes.iter().position(|class| class.size == size) {
        Some(at) => at,
        None => {
            store.classes.push(Class::new(size));
            store.classes.len() - 1
        }
    };
    let kind_before = store.guard_kind;
    let mut guards = Guards { mappings: &mut store.mappings, kind: &mut store.guard_kind };
    let result = f(&mut store.classes[at], &mut guards);
    let kind = store.guard_kind;
    drop(guard);
    if kind != kind_before {
        match kind {
            Some(GuardKind::Light) => log::debug!("stack guards are marks in the page tables"),
            Some(GuardKind::Protected) => {
                log::debug!("stack guards are protected mappings, two per stack out of vm.max_map_count")
            }
            None => {}
        }
    }
    result
}

impl Class {
    const fn new(size: StackSize) -> Self {
        Self { size, warm: List::new(), warm_count: 0, cold: List::new(), slab: None, opened: 0, total: 0, light: true }
    }

    fn pop_warm(&mut self) -> Option<&'static Slot> {
        let slot = self.warm.pop()?;
        self.warm_count -= 1;
        Some(slot)
    }

    /// Makes sure that there is a cold stack: opens some if there is none.
    ///
    /// This is the one place where a stack can be refused.
    fn fill(&mut self, guards: &mut Guards<'_>) -> io::Result<()> {
        if !self.cold.is_empty() {
            return Ok(());
        }
        let wanted = wanted_guards()?;
        let slab = match self.slab {
            Some(slab) if self.opened < slab.slots().len() => slab,
            _ => self.next_slab(wanted)?,
        };
        let count = self.total.clamp(FIRST_BATCH, BATCH);
        let mut end = slab.slots().len().min(self.opened + count);

        if self.light {
            // SAFETY: slots from `opened` on were never handed out.
            let open = |end| unsafe { slab.open(self.opened, end) };
            if open(end).is_err() {
                end = self.opened + 1;
                open(end).map_err(|error| limits::explain(&error, self.size))?;
            }
        }
        let mut room = None;
        for slot in &slab.slots()[self.opened..end] {
            if let Err(error) = self.guard(slot, wanted, guards, &mut room) {
                // Some are enough for now; the next call will meet the same error.
                return if self.cold.is_empty() { Err(error) } else { Ok(()) };
            }
            slot.announce();
            self.cold.push(slot);
            self.opened += 1;
            self.total += 1;
        }
        Ok(())
    }

    /// Reserves the next slab, as large as all before it together: a small program stays small,
    /// and a million stacks need few slabs.
    fn next_slab(&mut self, wanted: Option<GuardKind>) -> io::Result<&'static Slab> {
        let most = (MAX_SLAB / (self.size.bytes() + GUARD)).clamp(1, MAX_SLOTS);
        let wish = self.total.max(FIRST_SLOTS).min(most);
        let slab = Slab::reserve(self.size, wish)
            .or_else(|_| Slab::reserve(self.size, wish.min(FIRST_BATCH)))
            .or_else(|_| Slab::reserve(self.size, 1))
            .map_err(|error| limits::explain(&error, self.size))?;
        self.slab = Some(slab);
        self.opened = 0;
        self.light = wanted != Some(GuardKind::Protected);
        Ok(slab)
    }

    /// Guards one slot, lightly if this slab allows it. `room` remembers for how many more
    /// protected guards there is room, once somebody had to ask.
    fn guard(
        &mut self,
        slot: &Slot,
        wanted: Option<GuardKind>,
        guards: &mut Guards<'_>,
        room: &mut Option<usize>,
    ) -> io::Result<()> {
        if self.light {
            // SAFETY: slots from `opened` on were never handed out.
            match unsafe { slot.guard_lightly() } {
                Ok(()) => {
                    *guards.kind = Some(GuardKind::Light);
                    return Ok(());
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                    return Err(limits::explain(&error, self.size));
                }
                Err(error) if wanted == Some(GuardKind::Light) => {
                    return Err(io::Error::new(
                        io::ErrorKind::Unsupported,
                        format!(
                            "CORIO_STACK_GUARD=light, but the kernel refuses light guards \
                             ({error}); they need Linux 6.13 and memory that is not locked"
                        ),
                    ));
                }
                // Too old a kernel, a filter of system calls, or memory locked by `mlockall`.
                Err(_) => self.light = false,
            }
        }
        let room = room.get_or_insert_with(|| guards.mappings.room());
        *room = room.checked_sub(1).ok_or_else(|| guards.mappings.refusal())?;
        // SAFETY: as above.
        unsafe { slot.guard_by_protection() }.map_err(|error| limits::explain(&error, self.size))?;
        guards.mappings.count_guard();
        *guards.kind = Some(GuardKind::Protected);
        Ok(())
    }
}

/// What the environment variable `CORIO_STACK_GUARD` asks for; read once.
fn wanted_guards() -> io::Result<Option<GuardKind>> {
    static WANTED: OnceLock<Result<Option<GuardKind>, String>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| match env::var_os("CORIO_STACK_GUARD") {
        None => Ok(None),
        Some(value) if value == "light" => Ok(Some(GuardKind::Light)),
        Some(value) if value == "mprotect" => Ok(Some(GuardKind::Protected)),
        Some(value) => Err(format!("CORIO_STACK_GUARD must be `light` or `mprotect`, not {value:?}")),
    });
    wanted.clone().map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))
}
