//! The switch between stacks: the one module that knows corosensei.
//!
//! A [`Fiber`] is a function on a stack of its own. [`Fiber::resume`] runs it until it calls [`Suspender::suspend`] or
//! returns. Nothing here knows tasks, generators or loops.
//!
//! Two decisions are made here once. A fiber that was started is never dropped while its function is still on the stack:
//! corosensei's own unwinding cannot be bounded or recognised, so whoever owns the fiber ends its function by other
//! means, or leaks the stack. And the stack is handed back explicitly, never by a destructor.
//!
//! Both directions of the switch are inlined into their callers. The processor predicts returns by pairing them with
//! calls; each ordinary return between two suspensions of the same fiber puts it out of step.

use std::mem::ManuallyDrop;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::stack::Stack;

/// What one [`resume`](Fiber::resume) ended with.
pub(crate) enum Switched<Out, Ret> {
    Suspended(Out),
    Returned(Ret),
}

pub(crate) struct Fiber<In, Out, Ret> {
    coroutine: ManuallyDrop<Coroutine<In, Out, Ret, Stack>>,
}

/// A fiber's way back to whoever resumed it; lives at the top of the fiber's stack.
#[repr(transparent)]
pub(crate) struct Suspender<In, Out>(Yielder<In, Out>);

impl<In, Out, Ret> Fiber<In, Out, Ret> {
    /// A function on `stack`, not yet running.
    ///
    /// # Safety
    ///
    /// Whatever `function` borrows outlives the fiber's last resume. `function` does not unwind: it is the root of its
    /// stack.
    #[inline]
    pub(crate) unsafe fn new<F>(stack: Stack, function: F) -> Self
    where
        F: FnOnce(&Suspender<In, Out>, In) -> Ret,
    {
        let root = move |yielder: &Yielder<In, Out>, input: In| {
            // SAFETY: `Suspender` is a transparent wrapper of `Yielder`.
            let suspender = unsafe { &*std::ptr::from_ref(yielder).cast::<Suspender<In, Out>>() };
            function(suspender, input)
        };
        // SAFETY: the caller answers for the borrows of `function`; the stack is owned until it is handed back.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, root) };
        Fiber { coroutine: ManuallyDrop::new(coroutine) }
    }

    /// Runs the function until it suspends or returns. A fiber that has returned must not be resumed.
    #[inline(always)]
    pub(crate) fn resume(&mut self, input: In) -> Switched<Out, Ret> {
        match self.coroutine.resume(input) {
            CoroutineResult::Yield(out) => Switched::Suspended(out),
            CoroutineResult::Return(ret) => Switched::Returned(ret),
        }
    }

    /// The stack of a fiber whose function has returned.
    ///
    /// # Panics
    ///
    /// If it has not: then frames are still alive on it (R4).
    #[inline]
    pub(crate) fn into_stack(self) -> Stack {
        ManuallyDrop::into_inner(self.coroutine).into_stack()
    }
}

impl<In, Out> Suspender<In, Out> {
    /// Hands `out` to whoever resumed this fiber and comes back with what the next resume brings.
    #[inline(always)]
    pub(crate) fn suspend(&self, out: Out) -> In {
        self.0.suspend(out)
    }
}
