//! Calls below calls, in either style.

use std::hint::black_box;
use std::io;
use std::marker::PhantomData;

/// What a function that sleeps keeps at each level, in words.
pub const LOCALS: usize = 8;

/// How many tasks are parked at once to be cancelled.
pub const BATCH: u64 = 1_000;

/// How many coroutines are paused at once to be dropped, and futures: no more than there are stacks outside of loops that stay
/// warm. Reading the clock for so few adds some nanoseconds to each.
pub const FEW: u64 = 64;

/// Calls `f` below `depth` frames that are really there: none is inlined, and each returns before the next call.
///
/// A switch of stacks is cheapest when the coroutine suspends in its root function. From deeper down, every `ret`
/// after the resume was predicted from the other side's calls and misses. Programs live at depth, so both depths are shown.
#[inline(always)]
pub fn at_depth<F: Fn() -> R, R>(depth: u32, f: &F) -> R {
    holding::<0, F, R>(depth, f)
}

/// The same, where each frame has so many words of locals that are needed after the call.
#[inline(always)]
pub fn holding<const WORDS: usize, F: Fn() -> R, R>(depth: u32, f: &F) -> R {
    #[inline(never)]
    fn frame<const WORDS: usize, F: Fn() -> R, R>(depth: u32, f: &F) -> R {
        let mut locals = [u64::from(depth); WORDS];
        black_box(&mut locals);
        let result = holding::<WORDS, F, R>(depth - 1, f);
        black_box(&locals);
        black_box(depth); // something left to do: the call above is no tail call
        result
    }
    if depth == 0 { f() } else { frame::<WORDS, F, R>(depth, f) }
}

/// An `async` function that pauses.
pub trait Pause {
    /// Pauses so many times.
    fn pause(times: u64) -> impl Future<Output = io::Result<()>>;
}

/// One that pauses for ever, and has nothing to undo.
#[derive(Debug)]
pub struct Never;

impl Pause for Never {
    fn pause(_times: u64) -> impl Future<Output = io::Result<()>> {
        std::future::pending()
    }
}

/// One that awaits another, with so many words of locals that are needed afterwards.
///
/// No level is a box: the future has all of them in it, and the compiler knows each `poll` that it has to call. A future has no
/// stack, so each call is one that `poll` makes again on the way back in.
#[derive(Debug)]
pub struct Below<P, const WORDS: usize>(PhantomData<P>);

impl<P: Pause, const WORDS: usize> Pause for Below<P, WORDS> {
    async fn pause(times: u64) -> io::Result<()> {
        let mut locals = [times; WORDS];
        black_box(&mut locals);
        let result = P::pause(times).await;
        black_box(&locals);
        result
    }
}

/// So many levels of them.
pub type Four<P, const WORDS: usize> = Below<Below<Below<Below<P, WORDS>, WORDS>, WORDS>, WORDS>;
/// So many levels of them.
pub type Ten<P, const WORDS: usize> = Below<Below<Four<Four<P, WORDS>, WORDS>, WORDS>, WORDS>;
/// So many levels of them.
pub type Fifty<P, const WORDS: usize> = Ten<Ten<Ten<Ten<Ten<P, WORDS>, WORDS>, WORDS>, WORDS>, WORDS>;

/// An expression in which `$name` is `$pause` below `$depth` levels. A macro and no generic function, because the future of
/// a type that is known is known to be `Send`.
#[macro_export]
macro_rules! below {
    ($depth:expr, $pause:ty, $words:expr, $name:ident => $body:expr) => {{
        use $crate::depth::{Below, Fifty, Four, Ten};
        macro_rules! with {
            ($type:ty) => {{
                type $name = $type;
                $body
            }};
        }
        match $depth {
            0 => with!($pause),
            1 => with!(Below<$pause, { $words }>),
            4 => with!(Four<$pause, { $words }>),
            10 => with!(Ten<$pause, { $words }>),
            20 => with!(Ten<Ten<$pause, { $words }>, { $words }>),
            100 => with!(Fifty<Fifty<$pause, { $words }>, { $words }>),
            other => panic!("futures are not built {other} levels deep here"),
        }
    }};
}
