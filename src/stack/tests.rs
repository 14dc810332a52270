//! What stacks promise, tried. Whatever ends a process, or changes it for good, happens in a
//! child: this very test binary, started again with the name of a scenario.

use std::cell::Cell;
use std::collections::HashSet;
use std::env;
use std::ffi::c_void;
use std::fs;
use std::hint::black_box;
use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::panic::{Location, catch_unwind};
use std::process::{Command, Output};
use std::ptr;
use std::rc::Rc;
use std::thread;

use corosensei::stack::Stack as _;
use corosensei::{Coroutine, CoroutineResult};

use super::*;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const LIGHT: &str = "light";
const MPROTECT: &str = "mprotect";

fn size(bytes: usize) -> StackSize {
    StackSize::new(bytes).unwrap()
}

fn take(cache: &StackCache, size: StackSize) -> Stack {
    cache.reserve(size).unwrap();
    cache.take(size, ptr::null())
}

fn give(cache: &StackCache, stack: Stack) {
    // SAFETY: no coroutine is left on the stacks of these tests.
    unsafe { cache.give(stack) };
}

#[track_caller]
fn owner(kind: OwnerKind, id: u64, name: Option<&'static str>) -> Owner {
    let owner = Owner::new(kind, id, Location::caller());
    let name = name.map(|name| &*Box::leak(Box::new(Box::<str>::from(name))));
    // SAFETY: the box is leaked.
    unsafe { owner.set_name(name) };
    owner
}

/// Runs `f` on a stack of the process-wide store, from beginning to end.
fn on_stack(size: StackSize, owner: Option<&Owner>, f: impl FnOnce() + 'static) {
    let stack = take_shared(size, owner.map_or(ptr::null(), ptr::from_ref)).unwrap();
    let mut coroutine: Coroutine<(), (), (), Stack> = Coroutine::with_stack(stack, move |_, ()| f());
    assert!(matches!(coroutine.resume(()), CoroutineResult::Return(())));
    // SAFETY: the coroutine returned.
    unsafe { give_shared(coroutine.into_stack()) };
}

/// Writes to the lowest and the highest usable byte.
fn touch(stack: &Stack) {
    let (low, base) = stack.bounds();
    for addr in [low, base - 1] {
        // SAFETY: both lie in the usable part of a stack on which nothing runs.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(addr).write_volatile(1) };
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = [depth; 16];
    if black_box(depth) == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + black_box(&frame)[3]
}

/// Asks the kernel to read and write a byte for us: where that is not allowed it says so, and nothing faults.
struct Prober(PipeReader, PipeWriter);

impl Prober {
    fn new() -> Self {
        let (reader, writer) = pipe().unwrap();
        Self(reader, writer)
    }

    /// Whether the byte can be read, and whether it can be written; it is the same afterwards.
    fn probe(&self, addr: usize) -> (bool, bool) {
        let byte = ptr::without_provenance_mut::<c_void>(addr);
        let worked = |result: isize| {
            let error = std::io::Error::last_os_error();
            assert!(result == 1 || error.raw_os_error() == Some(libc::EFAULT), "{result}: {error}");
            result == 1
        };
        // SAFETY: only the kernel follows the pointer, and answers `EFAULT` where it cannot; no value lies there.
        unsafe {
            let reads = worked(libc::write(self.1.as_raw_fd(), byte, 1));
            if !reads {
                assert_eq!(libc::write(self.1.as_raw_fd(), [0_u8].as_ptr().cast(), 1), 1);
            }
            let writes = worked(libc::read(self.0.as_raw_fd(), byte, 1));
            if !writes {
                assert_eq!(libc::read(self.0.as_raw_fd(), [0_u8].as_mut_ptr().cast(), 1), 1);
            }
            (reads, writes)
        }
    }

    /// Every page of the guard is closed, up to its last byte, and what is above it is open.
    #[track_caller]
    fn check_guard(&self, stack: &Stack) {
        let low = stack.bounds().0;
        let pages = (low - slab::GUARD..low).step_by(sys::page_size());
        for addr in pages.chain([low - 1]) {
            assert_eq!(self.probe(addr), (false, false), "{} bytes below the stack", low - addr);
        }
        assert_eq!(self.probe(low), (true, true));
    }
}

/// The kinds of guard that this kernel, and this run of the tests, can make.
fn kinds() -> &'static [&'static str] {
    drop(take(&StackCache::new(), size(64 * KIB)));
    match guard_kind() {
        Some(GuardKind::Light) => &[LIGHT, MPROTECT],
        _ => &[MPROTECT],
    }
}

fn overflow() {
    black_box(recurse(0));
}

// ---- in this process ----

#[test]
fn the_stack_given_back_last_is_taken_first() {
    let cache = StackCache::new();
    let size = size(40 * KIB);
    let stacks = [(); 3].map(|()| take(&cache, size));
    let bases = stacks.each_ref().map(Stack::bounds);
    for stack in stacks {
        give(&cache, stack);
    }
    for expected in bases.iter().rev() {
        assert_eq!(take(&cache, size).bounds(), *expected);
    }
}

#[test]
fn sizes_do_not_mix() {
    let cache = StackCache::new();
    for round in 0..2 {
        for bytes in [32 * KIB, 44 * KIB, 3 * MIB] {
            let stack = take(&cache, size(bytes));
            assert_eq!(stack.size(), size(bytes), "round {round}");
            let (low, base) = stack.bounds();
            assert!(base - low <= bytes && base - low > bytes - 2 * KIB);
            give(&cache, stack);
        }
    }
}

#[test]
fn neighbours_have_different_colours() {
    let cache = StackCache::new();
    let size = size(48 * KIB);
    let stacks: Vec<Stack> = (0..64).map(|_| take(&cache, size)).collect();
    let colours: HashSet<usize> = stacks.iter().map(|stack| stack.bounds().1 % 4096).collect();
    assert_eq!(colours.len(), 32);
    for stack in stacks {
        assert_eq!(stack.base().get() % 64, 0);
        assert_eq!(stack.limit().get() % sys::page_size(), 0);
        assert_eq!(stack.bounds().0 - stack.limit().get(), slab::GUARD);
        give(&cache, stack);
    }
}

#[test]
fn large_stacks_lie_at_different_places_of_their_page_tables() {
    let cache = StackCache::new();
    for bytes in [2 * MIB, 8 * MIB] {
        let stacks: Vec<Stack> = (0..70).map(|_| take(&cache, size(bytes))).collect();
        // Eight entries of a table lie in one line of a cache; a table has 64 of them.
        let lines: HashSet<usize> = stacks.iter().map(|stack| stack.bounds().0 / (32 * KIB) % 64).collect();
        assert!(lines.len() >= 32, "{lines:?}");
        for stack in stacks {
            give(&cache, stack);
        }
    }
}

#[test]
fn a_reservation_can_be_returned() {
    let cache = StackCache::new();
    let size = size(52 * KIB);
    for _ in 0..1000 {
        cache.reserve(size).unwrap();
        cache.unreserve(size);
    }
    cache.reserve(size).unwrap();
    give(&cache, cache.take(size, ptr::null()));
}

#[test]
#[should_panic(expected = "reserved before it is taken")]
fn taking_without_a_reservation_is_noticed() {
    let _ = StackCache::new().take(size(56 * KIB), ptr::null());
}

#[test]
fn a_lost_stack_is_never_used_again() {
    let size = size(60 * KIB);
    let lost = {
        let cache = StackCache::new();
        let lost = take(&cache, size).bounds();
        give(&cache, take(&cache, size));
        lost
    };
    let cache = StackCache::new();
    for _ in 0..300 {
        assert_ne!(take(&cache, size).bounds(), lost);
    }
}

#[test]
fn a_cache_leaves_its_stacks_to_the_next() {
    let size = size(68 * KIB);
    let used = move |count| -> HashSet<usize> {
        let cache = StackCache::new();
        let stacks: Vec<Stack> = (0..count).map(|_| take(&cache, size)).collect();
        let bases = stacks.iter().map(|stack| stack.bounds().1).collect();
        stacks.into_iter().for_each(|stack| give(&cache, stack));
        bases
    };
    let first = used(200);
    let second = thread::spawn(move || used(200)).join().unwrap();
    assert!(first.intersection(&second).count() >= 100);
}

#[test]
fn a_stack_may_be_given_to_another_cache() {
    let size = size(72 * KIB);
    let (one, other) = (StackCache::new(), StackCache::new());
    let stack = take(&one, size);
    let bounds = stack.bounds();
    give(&other, stack);
    assert_eq!(take(&other, size).bounds(), bounds);
}

fn high_water_of(stack: &Stack) -> usize {
    let (low, base) = stack.bounds();
    high_water(low, base)
}

#[test]
fn the_high_water_mark_is_exact_to_the_page() {
    let cache = StackCache::new();
    let stack = take(&cache, size(MIB));
    let page = sys::page_size();
    let (low, base) = stack.bounds();
    assert_eq!(high_water_of(&stack), 0);
    for depth in [1, 300 * KIB, 600 * KIB, base - low] {
        // SAFETY: in the usable part of a stack on which nothing runs.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(base - depth).write_volatile(1) };
        let mark = high_water_of(&stack);
        assert!((depth..depth + page).contains(&mark), "{depth}: {mark}");
    }
    // What was deep once stays the mark, until the memory goes back to the kernel.
    // SAFETY: nothing is on it.
    unsafe { stack.0.discard() };
    assert_eq!(high_water_of(&stack), if cfg!(feature = "sanitizer") { base - low } else { 0 });
    give(&cache, stack);
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "nothing is trimmed then")]
fn a06_trimming_returns_memory_but_keeps_the_hot_set() {
    let cache = StackCache::new();
    let size = size(76 * KIB);
    let stacks: Vec<Stack> = (0..1500).map(|_| take(&cache, size)).collect();
    let mut bounds = Vec::new();
    for stack in stacks {
        touch(&stack);
        bounds.push(stack.bounds());
        give(&cache, stack);
    }
    let resident = |&(low, base): &(usize, usize)| sys::lowest_resident(low, base).is_some();
    assert!(bounds.iter().all(resident));
    assert!(cache.trim(), "one batch is not enough");
    while cache.trim() {}
    // The 1,024 that were given back last have kept their memory, the others lost it.
    assert!(!bounds[..1500 - 1024].iter().any(resident));
    assert!(bounds[1500 - 1024..].iter().all(resident));
    // And all of them are still there.
    let again: HashSet<usize> = (0..1600).map(|_| take(&cache, size).bounds().1).collect();
    assert!(bounds.iter().all(|(_, base)| again.contains(base)));
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "nothing is trimmed then")]
fn a_flood_of_stacks_is_trimmed_without_an_idle_moment() {
    let cache = StackCache::new();
    let size = size(80 * KIB);
    let stacks: Vec<Stack> = (0..5000).map(|_| take(&cache, size)).collect();
    let mut bounds = Vec::new();
    for stack in stacks {
        touch(&stack);
        bounds.push(stack.bounds());
        give(&cache, stack);
    }
    let resident = |&&(low, base): &&(usize, usize)| sys::lowest_resident(low, base).is_some();
    assert!(bounds.iter().filter(resident).count() <= 2048);
}

#[test]
fn a_coroutine_runs_on_a_stack() {
    let result = Rc::new(Cell::new(0));
    let sink = Rc::clone(&result);
    on_stack(size(MIB), None, move || {
        sink.set((1..=1000_u64).map(black_box).sum());
    });
    assert_eq!(result.get(), 500_500);
}

#[test]
fn the_smallest_stack_holds_a_panic_with_a_backtrace() {
    let output = child("panic_on_the_smallest_stack", &[("RUST_BACKTRACE", "full")]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {text}", output.status);
    assert!(text.contains("deep trouble"), "{text}");
    assert!(text.contains("stack backtrace:"), "{text}");
}

/// The second prints a backtrace whatever the variable says, and that takes the most room.
#[test]
fn the_smallest_stack_holds_a_panic_inside_a_panic() {
    let output = child("two_panics", &[("RUST_BACKTRACE", "0")]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {text}", output.status);
    for part in ["the first", "the second", "stack backtrace:"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn the_stack_pointer_tells_where_one_runs() {
    let stack = take_shared(size(64 * KIB), ptr::null()).unwrap();
    let (low, base) = stack.bounds();
    assert!(!(low..base).contains(&sys::stack_pointer()));
    let mut coroutine: Coroutine<(), (), usize, Stack> = Coroutine::with_stack(stack, |_, ()| sys::stack_pointer());
    let CoroutineResult::Return(sp) = coroutine.resume(()) else {
        panic!("it does not suspend");
    };
    assert!((low..base).contains(&sp));
    // SAFETY: the coroutine returned.
    unsafe { give_shared(coroutine.into_stack()) };
}

#[test]
fn a_system_call_that_is_given_a_guard_fails_and_nobody_crashes() {
    let (cache, prober) = (StackCache::new(), Prober::new());
    let stacks: Vec<Stack> = (0..3).map(|_| take(&cache, size(84 * KIB))).collect();
    for stack in stacks {
        prober.check_guard(&stack);
        give(&cache, stack);
    }
}

// ---- in a child process ----

/// Starts this test binary again, to run one scenario.
fn child(scenario: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "stack::tests::scenario", "--nocapture", "--test-threads=1"])
        .env_remove("RUST_MIN_STACK")
        .env_remove("CORIO_STACK_GUARD")
        .env("CORIO_STACK_SCENARIO", scenario)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The other end of [`child`]. As a test of its own it does nothing.
#[test]
fn scenario() {
    let Ok(name) = env::var("CORIO_STACK_SCENARIO") else {
        return;
    };
    match name.as_str() {
        "panic_on_the_smallest_stack" => on_stack(size(32 * KIB), None, || {
            let caught = catch_unwind(|| panic!("deep trouble"));
            assert!(caught.is_err());
        }),
        "named_task" => {
            let owner = owner(OwnerKind::Task, 7, Some("parser"));
            on_stack(size(64 * KIB), Some(&owner), overflow);
        }
        "unnamed_task" => {
            let owner = owner(OwnerKind::Task, 12_345, None);
            on_stack(size(8 * MIB), Some(&owner), overflow);
        }
        "coroutine" => {
            let owner = owner(OwnerKind::Coroutine, 0, None);
            on_stack(size(64 * KIB), Some(&owner), overflow);
        }
        "no_owner" => on_stack(size(64 * KIB), None, overflow),
        "task_in_a_cache" => {
            let cache = StackCache::new();
            let owner = owner(OwnerKind::Task, 1, Some("cached"));
            prepare_thread();
            let size = size(96 * KIB);
            cache.reserve(size).unwrap();
            let stack = cache.take(size, &owner);
            Coroutine::<(), (), (), Stack>::with_stack(stack, |_, ()| overflow()).resume(());
        }
        "nested" => {
            let task = owner(OwnerKind::Task, 1, Some("outer"));
            on_stack(size(256 * KIB), Some(&task), || {
                let inner = owner(OwnerKind::Coroutine, 2, Some("inner"));
                on_stack(size(64 * KIB), Some(&inner), overflow);
            });
        }
        "big_frame" => {
            let owner = owner(OwnerKind::Task, 3, Some("big"));
            on_stack(size(64 * KIB), Some(&owner), || {
                black_box([1_u8; 3 * MIB]);
            });
        }
        "std_thread" => thread::spawn(|| {
            let owner = owner(OwnerKind::Task, 8, Some("spawned"));
            on_stack(size(64 * KIB), Some(&owner), overflow);
        })
        .join()
        .unwrap(),
        "two_panics" => on_stack(size(32 * KIB), None, || {
            struct Panics;
            impl Drop for Panics {
                fn drop(&mut self) {
                    assert!(catch_unwind(|| panic!("the second")).is_err());
                }
            }
            let caught = catch_unwind(|| {
                let _panics = Panics;
                panic!("the first");
            });
            assert!(caught.is_err());
        }),
        #[cfg(target_os = "linux")]
        "advised" => advised(),
        #[cfg(target_os = "linux")]
        "forked" => forked(),
        "long_name" => {
            let name: &'static str = "n".repeat(100_000).leak();
            let owner = owner(OwnerKind::Task, 4, Some(name));
            on_stack(size(64 * KIB), Some(&owner), overflow);
        }
        "foreign_thread" => on_foreign_thread(|| {
            let owner = owner(OwnerKind::Task, 5, Some("foreign"));
            on_stack(size(64 * KIB), Some(&owner), overflow);
        }),
        "stray_access" => {
            let owner = owner(OwnerKind::Task, 6, Some("victim"));
            let stack = take_shared(size(64 * KIB), &owner).unwrap();
            // SAFETY: none: the scenario is about code that is wrong.
            unsafe { write_to(stack.bounds().0 - 1) };
        }
        "stray_access_to_a_free_slot" => {
            let stack = take_shared(size(64 * KIB), ptr::null()).unwrap();
            let low = stack.bounds().0;
            // SAFETY: nothing ran on it.
            unsafe { give_shared(stack) };
            // SAFETY: none, as above.
            unsafe { write_to(low - 10_000) };
        }
        "null_pointer" => {
            prepare_thread();
            // SAFETY: none, as above.
            unsafe { write_to(8) };
        }
        "null_pointer_on_a_stack" => on_stack(size(64 * KIB), None, || {
            // SAFETY: none, as above.
            unsafe { write_to(8) };
        }),
        "thread_overflow" => {
            prepare_thread();
            overflow();
        }
        "sent_signal" => {
            default_segv();
            prepare_thread();
            // SAFETY: sends a signal to this process.
            unsafe { libc::raise(libc::SIGSEGV) };
        }
        "previous_handler" => {
            // SAFETY: the handler does only what a signal handler may.
            unsafe { libc::signal(libc::SIGSEGV, exit_42 as *const () as usize) };
            prepare_thread();
            // SAFETY: none, as above.
            unsafe { write_to(8) };
        }
        "address_space" => without_address_space(),
        "small_default" => {
            limit_address_space(vm_size() + 1024 * MIB);
            assert_eq!(StackSize::default_size().bytes(), 2 * MIB, "a smaller default");
            give(&StackCache::new(), take(&StackCache::new(), StackSize::default_size()));
        }
        "min_stack" => assert_eq!(StackSize::default_size().bytes(), 12 * MIB),
        "mappings" => without_mappings(),
        "many" => many(),
        "guard_kind" => {
            assert_eq!(guard_kind(), None);
            drop(take(&StackCache::new(), size(64 * KIB)));
            let expected = match env::var("CORIO_STACK_GUARD").as_deref() {
                Ok(MPROTECT) => GuardKind::Protected,
                _ => GuardKind::Light,
            };
            assert_eq!(guard_kind(), Some(expected));
        }
        "unknown_guard" => {
            let error = StackCache::new().reserve(size(64 * KIB)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(text.contains("`light` or `mprotect`, not \"thick\""), "{text}");
        }
        "locked_memory" => locked_memory(),
        "logger" => {
            static LOGGER: Reentrant = Reentrant;
            log::set_logger(&LOGGER).unwrap();
            log::set_max_level(log::LevelFilter::Debug);
            give(&StackCache::new(), take(&StackCache::new(), size(64 * KIB)));
        }
        other => panic!("no scenario {other}"),
    }
}

/// # Safety
///
/// There is no safe way to call it.
unsafe fn write_to(addr: usize) {
    // SAFETY: see there.
    unsafe { ptr::without_provenance_mut::<u8>(black_box(addr)).write_volatile(1) };
}

/// A logger that wants a stack itself.
struct Reentrant;

impl log::Log for Reentrant {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        on_stack(size(64 * KIB), None, || {});
        eprintln!("logged: {}", record.args());
    }

    fn flush(&self) {}
}

extern "C" fn exit_42(_: i32) {
    // SAFETY: ends the process; allowed in a handler.
    unsafe { libc::_exit(42) };
}

fn default_segv() {
    // SAFETY: the default action is always allowed.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
}

/// Runs `f` on a thread that `std` did not start.
fn on_foreign_thread(f: fn()) {
    extern "C" fn run(f: *mut c_void) -> *mut c_void {
        // SAFETY: the `fn()` that was passed below.
        let f = unsafe { std::mem::transmute::<*mut c_void, fn()>(f) };
        f();
        ptr::null_mut()
    }
    let mut thread = 0;
    // SAFETY: `run` has the right signature, and is given what it expects.
    unsafe {
        let result = libc::pthread_create(&raw mut thread, ptr::null(), run, f as *mut c_void);
        assert_eq!(result, 0);
        libc::pthread_join(thread, ptr::null_mut());
    }
}

fn vm_size() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
    pages * sys::page_size()
}

fn limit_address_space(bytes: usize) {
    let limit = libc::rlimit { rlim_cur: bytes as u64, rlim_max: bytes as u64 };
    // SAFETY: reads the structure it is given.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(result, 0);
}

fn without_address_space() {
    limit_address_space(vm_size() + 1024 * MIB);
    let cache = StackCache::new();
    let size = size(8 * MIB);
    let mut stacks = Vec::new();
    let error = loop {
        match cache.reserve(size) {
            Ok(()) => stacks.push(cache.take(size, ptr::null())),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    let text = error.to_string();
    for part in ["8192 KiB", "RLIMIT_AS", "ulimit -v", "smaller stacks"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(stacks.len() > 64, "{}", stacks.len());
    // The program can still allocate.
    assert!(Vec::<u8>::new().try_reserve(16 * MIB).is_ok());
    // Smaller ones can be had, and so can one that was given back.
    give(&cache, stacks.pop().unwrap());
    cache.reserve(size).unwrap();
    cache.reserve(size).unwrap_err();
}

fn without_mappings() {
    let cache = StackCache::new();
    let size = size(32 * KIB);
    let mut stacks = Vec::new();
    let error = loop {
        match cache.reserve(size) {
            Ok(()) => stacks.push(cache.take(size, ptr::null())),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    assert!(error.to_string().contains("vm.max_map_count"), "{error}");
    assert!(error.to_string().contains("raise that sysctl"), "{error}");
    assert!(stacks.len() > 20_000, "{}", stacks.len());
    // There is room for threads and the heap, and a stack given back is good again.
    thread::spawn(|| ()).join().unwrap();
    assert!(Vec::<u8>::new().try_reserve(16 * MIB).is_ok());
    give(&cache, stacks.pop().unwrap());
    cache.reserve(size).unwrap();
    cache.reserve(size).unwrap_err();
}

fn many() {
    let mappings = || fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let before = mappings();
    let cache = StackCache::new();
    let size = size(64 * KIB);
    let stacks: Vec<Stack> = (0..40_000).map(|_| take(&cache, size)).collect();
    stacks.iter().for_each(touch);
    assert!(mappings() < before + 200, "{}", mappings());
    let distinct: HashSet<usize> = stacks.iter().map(|stack| stack.bounds().1).collect();
    assert_eq!(distinct.len(), stacks.len());
}

/// What one may ask of the kernel about a slot, and its guard must survive.
#[cfg(target_os = "linux")]
fn advised() {
    let (cache, prober) = (StackCache::new(), Prober::new());
    let stack = take(&cache, size(64 * KIB));
    prober.check_guard(&stack);
    let (limit, top) = (stack.limit().get(), stack.0.top());
    let advise = |from: usize, advice| {
        // SAFETY: a slot on which nothing runs.
        unsafe { libc::madvise(ptr::without_provenance_mut(from), top - from, advice) }
    };
    for advice in [libc::MADV_DONTNEED, libc::MADV_FREE, libc::MADV_COLD, libc::MADV_PAGEOUT] {
        touch(&stack);
        let result = advise(limit, advice);
        // A protected guard is a mapping of its own that some of them pass over.
        assert!(result == 0 || guard_kind() == Some(GuardKind::Protected), "{advice}");
        prober.check_guard(&stack);
    }
    // Populating the guard is refused, and leaves it.
    assert_ne!(advise(limit, libc::MADV_POPULATE_WRITE), 0);
    prober.check_guard(&stack);
    if guard_kind() == Some(GuardKind::Light) {
        let all = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a slot on which nothing runs; it was readable and writable before.
        assert_eq!(unsafe { libc::mprotect(ptr::without_provenance_mut(limit), top - limit, all) }, 0);
        prober.check_guard(&stack);
    }
    // The way in which memory is given back here.
    touch(&stack);
    // SAFETY: nothing is on it.
    unsafe { stack.0.discard() };
    prober.check_guard(&stack);
    touch(&stack);
    give(&cache, stack);
}

/// A child of the kind that does not `exec` has the guards of its parent.
#[cfg(target_os = "linux")]
fn forked() {
    let (cache, prober) = (StackCache::new(), Prober::new());
    let stack = take(&cache, size(64 * KIB));
    touch(&stack);
    let flags = mapping_flags(stack.bounds().0);
    // Wiped in a fork, or left out of it; the first would take the guards away there.
    assert!(!flags.iter().any(|flag| flag == "wf" || flag == "dc"), "{flags:?}");
    assert!(flags.iter().any(|flag| flag == "nh"), "{flags:?}");
    let owner = owner(OwnerKind::Task, 11, Some("forked"));
    // SAFETY: this process has no other thread that could hold a lock.
    match unsafe { libc::fork() } {
        0 => {
            prober.check_guard(&stack);
            eprintln!("the child has the guards of its parent");
            on_stack(size(64 * KIB), Some(&owner), overflow);
        }
        child => {
            let mut status = 0;
            // SAFETY: writes the number it is given.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT, "{status:#x}");
            prober.check_guard(&stack);
        }
    }
}

/// The kernel's two-letter flags of the mapping that an address lies in.
#[cfg(target_os = "linux")]
fn mapping_flags(addr: usize) -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    for line in maps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        if let Some((Some(from), Some(to))) = range.map(|(from, to)| (number(from), number(to))) {
            inside = (from..to).contains(&addr);
        } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
            return flags.split_whitespace().map(str::to_owned).collect();
        }
    }
    panic!("{addr:#x} is in no mapping:\n{maps}");
}

fn locked_memory() {
    let light = size(64 * KIB);
    let prober = Prober::new();
    let early = take(&StackCache::new(), light);
    assert_eq!(guard_kind(), Some(GuardKind::Light));
    // SAFETY: locks memory.
    if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } != 0 {
        eprintln!("mlockall is not allowed here");
        return;
    }
    prober.check_guard(&early);
    // Those already opened stay as they are; those opened from now on are protected.
    let cache = StackCache::new();
    let stacks: Vec<Stack> = (0..200).map(|_| take(&cache, light)).collect();
    assert_eq!(guard_kind(), Some(GuardKind::Protected));
    stacks.iter().for_each(touch);
    stacks.iter().for_each(|stack| prober.check_guard(stack));
    // The same where pages are locked when they are first touched.
    // SAFETY: locks memory.
    assert_eq!(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) }, 0);
    let on_fault = take(&cache, size(120 * KIB));
    assert_eq!(guard_kind(), Some(GuardKind::Protected));
    prober.check_guard(&on_fault);
    touch(&on_fault);
    // Whether light guards can be had is asked for each slab: they can again.
    // SAFETY: unlocks it.
    assert_eq!(unsafe { libc::munlockall() }, 0);
    let late = take(&cache, size(88 * KIB));
    assert_eq!(guard_kind(), Some(GuardKind::Light));
    prober.check_guard(&late);
    let owner = owner(OwnerKind::Task, 9, Some("locked"));
    on_stack(size(64 * KIB), Some(&owner), overflow);
}

#[track_caller]
fn assert_aborts(output: &Output, message: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(message), "{message}\nis not in\n{text}");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
}

/// With each kind of guard.
#[track_caller]
fn check_overflow(scenario: &str, before_place: &str, after_place: &str) {
    for kind in kinds() {
        let output = child(scenario, &[("CORIO_STACK_GUARD", *kind)]);
        assert_aborts(&output, before_place);
        assert_aborts(&output, after_place);
        assert_aborts(&output, "Give it more with RUST_MIN_STACK (bytes), or a spawned task with Builder::stack_size.");
    }
}

#[test]
fn an_overflow_names_the_task() {
    check_overflow(
        "named_task",
        "corio: task \"parser\" (id 7) overflowed its stack of 64 KiB (spawned at ",
        "src/stack/tests.rs:",
    );
    check_overflow(
        "unnamed_task",
        "corio: task 12345 overflowed its stack of 8192 KiB (spawned at ",
        "src/stack/tests.rs:",
    );
    check_overflow(
        "coroutine",
        "corio: a coroutine overflowed its stack of 64 KiB (created at ",
        "src/stack/tests.rs:",
    );
    check_overflow("no_owner", "corio: a coroutine overflowed its stack of 64 KiB. Give", "");
    check_overflow("task_in_a_cache", "corio: task \"cached\" (id 1) overflowed its stack of 96 KiB", "");
}

#[test]
fn an_overflow_names_the_innermost_coroutine() {
    check_overflow("nested", "corio: coroutine \"inner\" (id 2) overflowed", "created at");
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "instrumented frames are not probed")]
fn a05_one_large_frame_is_caught() {
    check_overflow("big_frame", "corio: task \"big\" (id 3) overflowed", "");
}

#[test]
fn a_long_name_is_cut() {
    check_overflow("long_name", "nnn\" (id 4) overflowed its stack of 64 KiB", "spawned at");
}

#[test]
fn a02_overflows_are_reported_on_threads_that_std_did_not_start() {
    check_overflow("foreign_thread", "corio: task \"foreign\" (id 5) overflowed", "");
}

#[test]
fn an_overflow_is_reported_on_the_main_thread_and_on_one_of_std() {
    // The others run on the main thread of their process.
    check_overflow("std_thread", "corio: task \"spawned\" (id 8) overflowed", "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_guard_stays_when_memory_is_given_back() {
    for kind in kinds() {
        assert_succeeds("advised", &[("CORIO_STACK_GUARD", *kind)]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_fork_has_the_guards_of_its_parent_and_reports_its_own_overflow() {
    for kind in kinds() {
        let text = assert_succeeds("forked", &[("CORIO_STACK_GUARD", *kind)]);
        assert!(text.contains("the child has the guards"), "{text}");
        assert!(text.contains("corio: task \"forked\" (id 11) overflowed its stack of 64 KiB"), "{text}");
    }
}

#[test]
fn a_stray_access_is_not_called_an_overflow() {
    for kind in kinds() {
        let output = child("stray_access", &[("CORIO_STACK_GUARD", *kind)]);
        assert_aborts(&output, "corio: a stray access to 0x");
        assert_aborts(&output, "the stack of task \"victim\" (id 6) (spawned at ");
        let output = child("stray_access_to_a_free_slot", &[("CORIO_STACK_GUARD", *kind)]);
        assert_aborts(&output, "the stack of nobody. It came from another stack");
    }
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer has its own handler")]
fn other_faults_are_left_alone() {
    for scenario in ["null_pointer", "null_pointer_on_a_stack", "sent_signal"] {
        let output = child(scenario, &[]);
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{scenario}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("corio:"));
    }
    let output = child("previous_handler", &[]);
    assert_eq!(output.status.code(), Some(42));
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer has its own handler")]
fn the_overflow_of_a_thread_is_still_reported_by_std() {
    let output = child("thread_overflow", &[]);
    assert_aborts(&output, "has overflowed its stack");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("corio:"));
}

#[track_caller]
fn assert_succeeds(scenario: &str, variables: &[(&str, &str)]) -> String {
    let output = child(scenario, variables);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario}: {:?}\n{text}", output.status);
    text.into_owned()
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer needs terabytes itself")]
fn running_out_of_address_space_is_an_error() {
    assert_succeeds("address_space", &[]);
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer needs terabytes itself")]
fn the_default_is_smaller_where_space_is_short() {
    assert_succeeds("small_default", &[]);
}

#[test]
fn the_default_can_be_set_from_outside() {
    assert_succeeds("min_stack", &[("RUST_MIN_STACK", "12582912")]);
}

#[test]
fn running_out_of_mappings_is_an_error() {
    assert_succeeds("mappings", &[("CORIO_STACK_GUARD", MPROTECT)]);
}

#[test]
fn forty_thousand_light_guards_need_few_mappings() {
    if kinds().contains(&LIGHT) {
        assert_succeeds("many", &[("CORIO_STACK_GUARD", LIGHT)]);
    }
}

#[test]
fn the_kind_of_guard_can_be_asked_for() {
    for kind in kinds() {
        assert_succeeds("guard_kind", &[("CORIO_STACK_GUARD", *kind)]);
    }
    assert_succeeds("unknown_guard", &[("CORIO_STACK_GUARD", "thick")]);
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "locks terabytes of the sanitizer's own")]
fn locked_memory_gets_protected_guards() {
    if !kinds().contains(&LIGHT) {
        return;
    }
    let output = child("locked_memory", &[]);
    if !String::from_utf8_lossy(&output.stderr).contains("not allowed here") {
        assert_aborts(&output, "corio: task \"locked\" (id 9) overflowed");
    }
}

#[test]
fn a_logger_may_want_a_stack_itself() {
    let text = assert_succeeds("logger", &[]);
    assert!(text.contains("logged: stack guards are"), "{text}");
}
