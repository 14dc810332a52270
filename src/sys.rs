//! The system calls that `std` does not wrap, one thin function each.
//!
//! Nothing here decides anything: a function does its one call and hands back the error. Whoever
//! calls it knows what the memory is for and what a failure means.

use std::ffi::c_int;
use std::io;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The size of a page of memory.
pub(crate) fn page_size() -> usize {
    // SAFETY: `sysconf` reads a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("every Unix knows the size of its pages")
}

/// Takes `len` bytes of address space that cannot be touched yet and cost no memory.
pub(crate) fn reserve(len: usize) -> io::Result<usize> {
    map(len, libc::PROT_NONE)
}

/// Whether the system would let us have `len` bytes of writable memory now.
pub(crate) fn would_grant(len: usize) -> bool {
    let Ok(addr) = map(len, libc::PROT_READ | libc::PROT_WRITE) else {
        return false;
    };
    // SAFETY: mapped two lines above, and nobody else has seen the address.
    unsafe { unmap(addr, len) };
    true
}

/// Takes `len` bytes of writable memory of our own.
pub(crate) fn allocate(len: usize) -> io::Result<usize> {
    map(len, libc::PROT_READ | libc::PROT_WRITE)
}

fn map(len: usize, protection: c_int) -> io::Result<usize> {
    // Pages are charged when they are touched, not when they are mapped; OpenBSD insists on
    // MAP_STACK for memory that a stack pointer may point to.
    #[cfg(target_os = "linux")]
    const EXTRA: c_int = libc::MAP_NORESERVE | libc::MAP_STACK;
    #[cfg(any(target_os = "netbsd", target_os = "openbsd"))]
    const EXTRA: c_int = libc::MAP_STACK;
    #[cfg(not(any(target_os = "linux", target_os = "netbsd", target_os = "openbsd")))]
    const EXTRA: c_int = 0;

    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | EXTRA;
    // SAFETY: a new anonymous mapping at a place of the kernel's choice overlaps nothing.
    let addr = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    if addr == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(addr.addr()) }
}

/// Gives address space back.
///
/// # Safety
///
/// The range came from [`reserve`] or [`allocate`], and nothing in it is used any more.
pub(crate) unsafe fn unmap(addr: usize, len: usize) {
    // SAFETY: the caller's promise. The call can fail only by being out of mappings, and then
    // the range stays reserved, which harms nobody.
    unsafe { libc::munmap(pointer(addr), len) };
}

/// Makes reserved pages readable and writable.
///
/// # Safety
///
/// The range came from [`reserve`], and nobody relies on its faulting.
pub(crate) unsafe fn open(addr: usize, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    check(unsafe { libc::mprotect(pointer(addr), len, libc::PROT_READ | libc::PROT_WRITE) })
}

/// Makes pages untouchable, at the price of splitting the kernel's mapping.
///
/// # Safety
///
/// The range came from [`reserve`], and no live value lies in it.
pub(crate) unsafe fn close(addr: usize, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    check(unsafe { libc::mprotect(pointer(addr), len, libc::PROT_NONE) })
}

/// Makes open pages untouchable by marks in the page tables, which leaves the mapping whole.
///
/// Linux has this since 6.13, for private anonymous memory that is not locked.
///
/// # Safety
///
/// The range came from [`reserve`], and no live value lies in it.
pub(crate) unsafe fn guard(addr: usize, len: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        const MADV_GUARD_INSTALL: c_int = 102;
        // SAFETY: the caller's promise. Kernels that do not know the request refuse it.
        check(unsafe { libc::madvise(pointer(addr), len, MADV_GUARD_INSTALL) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (addr, len);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Asks for ordinary pages: one touch of a stack must not cost 2 MiB. A wish; failure is ignored.
pub(crate) fn no_huge_pages(addr: usize, len: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: advice about how to back a range changes nothing that a program can read.
    unsafe {
        libc::madvise(pointer(addr), len, libc::MADV_NOHUGEPAGE)
    };
    #[cfg(not(target_os = "linux"))]
    let _ = (addr, len);
}

/// Hands the memory behind a range back to the kernel; the range stays usable and reads as zeros
/// or as before. A wish: locked pages, for one, stay where they are.
///
/// # Safety
///
/// The range came from [`reserve`], and no live value lies in it.
pub(crate) unsafe fn discard(addr: usize, len: usize) {
    #[cfg(target_os = "linux")]
    const ADVICE: c_int = libc::MADV_DONTNEED;
    #[cfg(not(target_os = "linux"))]
    const ADVICE: c_int = libc::MADV_FREE;
    // SAFETY: the caller's promise: what is lost is not read again.
    unsafe { libc::madvise(pointer(addr), len, ADVICE) };
}

/// The address of the lowest page in `low..high` that is in memory.
pub(crate) fn lowest_resident(low: usize, high: usize) -> Option<usize> {
    const PAGES: usize = 256;
    let page = page_size();
    for chunk in (low..high).step_by(PAGES * page) {
        let mut states = [0_u8; PAGES];
        let len = (high - chunk).min(PAGES * page);
        // SAFETY: `states` has a byte for each page of `len` bytes; unmapped ranges are refused.
        let result = unsafe { libc::mincore(pointer(chunk), len, states.as_mut_ptr().cast()) };
        if result != 0 {
            return None;
        }
        let count = len.div_ceil(page);
        if let Some(at) = states[..count].iter().position(|state| state & 1 != 0) {
            return Some(chunk + at * page);
        }
    }
    None
}

/// A line of the processor's cache, in bytes.
const LINE: usize = 64;

/// Asks the processor to have this memory at hand soon: so many bytes from an address, which need not be a good one. It
/// changes nothing that a program can see. Where the processor is not one that we know how to ask, nothing happens.
#[inline(always)]
pub(crate) fn prefetch(start: usize, bytes: usize) {
    for address in (start..start + bytes).step_by(LINE) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint about any address whatever.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }
}

/// The stack pointer of the caller, near enough to tell which stack it runs on.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: copies a register.
    unsafe {
        std::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: copies a register.
    unsafe {
        std::arch::asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let mark = 0_u8;
        sp = ptr::from_ref(std::hint::black_box(&mark)).addr();
    }
    sp
}

/// Room that the kernel needs on an alternate signal stack for the registers it saves there.
pub(crate) fn signal_frame_size() -> usize {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: `getauxval` looks up a number, and answers 0 for what it does not know.
        let size = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
        usize::try_from(size).unwrap_or(0).max(libc::MINSIGSTKSZ)
    }
    #[cfg(not(target_os = "linux"))]
    libc::MINSIGSTKSZ
}

/// The limit on the process's address space, if there is one.
pub(crate) fn address_space_limit() -> Option<libc::rlim_t> {
    limit_of(libc::RLIMIT_AS)
}

/// The limit on the memory that is the process's own, touched or not.
pub(crate) fn data_limit() -> Option<libc::rlim_t> {
    limit_of(libc::RLIMIT_DATA)
}

fn limit_of(resource: Resource) -> Option<libc::rlim_t> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: writes the structure it is given.
    let result = unsafe { libc::getrlimit(resource, &raw mut limit) };
    (result == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// How a limit is called: glibc has a type of its own for that.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
type Resource = c_int;

fn check(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Only the kernel follows these pointers, so where they came from does not matter.
fn pointer(addr: usize) -> *mut libc::c_void {
    ptr::without_provenance_mut(addr)
}

/// The calling thread's `errno`.
pub(crate) fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Puts back what [`errno`] gave: a signal handler leaves it as it was.
pub(crate) fn set_errno(value: i32) {
    #[cfg(any(target_os = "netbsd", target_os = "openbsd", target_os = "android"))]
    use libc::__errno as location;
    #[cfg(any(target_os = "linux", target_os = "l4re", target_os = "redox"))]
    use libc::__errno_location as location;
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    use libc::__error as location;
    // SAFETY: the location is the calling thread's own, and always valid.
    unsafe { *location() = value };
}

/// Asks for the state of descriptors; waits until one has what is asked for, `timeout` at most.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    // Rounded up: waking a little too early would be a spin.
    let millis = |timeout: Duration| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    let count = libc::nfds_t::try_from(fds.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `count` valid entries.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, timeout.map_or(-1, millis)) };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}

/// Blocks the thread until `fd` can be read, or written, or has failed; `TimedOut` at the deadline.
pub(crate) fn wait_ready(fd: i32, write: bool, deadline: Option<Instant>) -> io::Result<()> {
    let events = if write { libc::POLLOUT } else { libc::POLLIN };
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match poll(&mut [libc::pollfd { fd, events, revents: 0 }], left) {
            Ok(0) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(0) => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The user in whose name this process acts.
pub(crate) fn user() -> u32 {
    // SAFETY: it reads a number, and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this program has more rights than whoever has started it.
pub(crate) fn is_privileged() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: it reads a number that the kernel has given to the process.
    unsafe {
        libc::getauxval(libc::AT_SECURE) != 0
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    // SAFETY: they read numbers, and cannot fail.
    unsafe {
        libc::getuid() != libc::geteuid() || libc::getgid() != libc::getegid()
    }
}

/// The user in whose name the other end of a Unix socket was connected.
pub(crate) fn peer_user(fd: i32) -> io::Result<u32> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
        let mut len = size_of_val(&peer) as libc::socklen_t;
        let room = (&raw mut peer).cast();
        // SAFETY: room for the structure of that option, and its size.
        check(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, room, &raw mut len) })?;
        Ok(peer.uid)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let (mut user, mut group) = (0, 0);
        // SAFETY: room for two numbers.
        check(unsafe { libc::getpeereid(fd, &raw mut user, &raw mut group) })?;
        Ok(user)
    }
}

/// Whether a descriptor is that of a regular file or a directory, for which nobody can wait.
pub(crate) fn is_regular_file(fd: i32) -> io::Result<bool> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: room for one structure, which the call fills if it succeeds.
    let status = unsafe {
        if libc::fstat(fd, status.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        status.assume_init()
    };
    Ok(matches!(status.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR))
}

/// Writes, and does not raise SIGPIPE when nobody reads, whatever the program has made of that signal.
pub(crate) fn write_without_signal(fd: i32, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads the bytes that are there.
    let write = || match unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) } {
        written @ 0.. => Ok(written as usize),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: the structures are valid for the calls; all zeros is a valid value of each.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, ptr::null(), &mut action);
        if action.sa_sigaction == libc::SIG_IGN {
            return write();
        }
        // The signal goes to the thread that writes. Kept back, it is pending, and can be taken away.
        let (mut pipe, mut before, mut pending): (libc::sigset_t, libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
        libc::sigemptyset(&mut pipe);
        libc::sigaddset(&mut pipe, libc::SIGPIPE);
        libc::sigpending(&mut pending);
        let was_pending = libc::sigismember(&pending, libc::SIGPIPE) == 1;
        libc::pthread_sigmask(libc::SIG_BLOCK, &pipe, &mut before);
        let result = write();
        if !was_pending && result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EPIPE)) {
            let mut signal = 0;
            libc::sigpending(&mut pending);
            if libc::sigismember(&pending, libc::SIGPIPE) == 1 {
                libc::sigwait(&pipe, &mut signal);
            }
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        result
    }
}

/// Holds all signals back from this thread; returns what it has held back so far.
pub(crate) fn hold_signals_back() -> libc::sigset_t {
    // SAFETY: the sets are valid for the calls; all zeros is a valid one.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut before);
        before
    }
}

/// Holds these back, and no others: what [`hold_signals_back`] has returned.
pub(crate) fn hold_back_only(signals: &libc::sigset_t) {
    // SAFETY: a valid set, which the call reads.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, signals, ptr::null_mut()) };
}

/// A descriptor that can be read when the process has ended; Linux only, elsewhere `Unsupported`. The process is a child that
/// has not been waited for, so the number is its own.
pub(crate) fn open_pidfd(pid: u32) -> io::Result<std::os::fd::OwnedFd> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::fd::FromRawFd;
        // SAFETY: the call takes two numbers; what it returns is a new descriptor, which nobody else has.
        unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(std::os::fd::OwnedFd::from_raw_fd(fd as i32)) }
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = pid;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Blocks the thread until a child has ended, and leaves it to be waited for.
pub(crate) fn wait_without_reaping(pid: u32) -> io::Result<()> {
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: room for one structure.
        let result =
            unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, info.as_mut_ptr(), libc::WEXITED | libc::WNOWAIT) };
        match result {
            0 => return Ok(()),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Sends a signal to a process that is certain to be meant.
pub(crate) fn kill(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: two numbers.
    if unsafe { libc::kill(pid as libc::pid_t, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads, in whatever mode the descriptor is.
pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: room for so many bytes.
    match unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } {
        read @ 0.. => Ok(read as usize),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How many forks lie between this process and the one in which [`count_forks`] was called first.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The number of forks so far, as [`count_forks`] counts them.
pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Lets forks be counted from now on.
pub(crate) fn count_forks() {
    extern "C" fn in_the_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        // SAFETY: the function does nothing but count, which may be done right after a fork.
        unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) };
    });
}
