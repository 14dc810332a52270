//! What must not leave its loop, for those who ask for `Send`.

#[cfg(any(feature = "futures-io", feature = "hyper"))]
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};

use crate::event_loop::EventLoop;
use crate::remote::{self, Message};

/// Anything, as `Send` and `Sync`: it may go to another thread, but is used on its own only, which is checked.
///
/// Frameworks that can move futures between threads ask for `Send`, also when they run on one. What belongs to a loop is not:
/// tasks, queues, the futures of [`aio`](crate::aio). In this wrapper it passes. It is a future if what it holds
/// is one, and with the features for them a stream.
///
/// For a function that is to run on a loop from anywhere, there is [`LoopHandle::spawn`](crate::LoopHandle::spawn), whose handle
/// can be awaited. Alike in spirit: the crate `send_wrapper`, which panics also where it is dropped on another thread.
///
/// # Panics
///
/// Whatever is done with it on another thread panics, but for dropping it: then the value goes home, to be dropped there, and
/// if its loop has ended, it is leaked, which is logged.
///
/// ```
/// use corio::aio::{self, SendWrapper};
/// use corio::millis;
/// use std::rc::Rc;
///
/// fn handler() -> impl Future<Output = u32> + Send {
///     let state = SendWrapper::new(Rc::new(20));
///     async move {
///         SendWrapper::new(aio::sleep(millis(1))).await.unwrap();
///         **state + 1
///     }
/// }
///
/// assert_eq!(aio::block_on(async { Ok(handler().await) })?, 21);
///
/// let text = SendWrapper::new(String::from("at home"));
/// let text = std::thread::spawn(move || {
///     assert!(!text.is_here()); // it can be carried about, and nothing else
///     text
/// }).join().unwrap();
/// assert_eq!(text.into_inner(), "at home");
/// # std::io::Result::Ok(())
/// ```
pub struct SendWrapper<T: 'static> {
    /// Boxed, so that it can go home when it is pinned.
    value: ManuallyDrop<Box<T>>,
    thread: ThreadId,
    /// Its loop, to which it goes if it is dropped elsewhere; 0: none.
    on: u32,
    /// What is pinned with the wrapper stays pinned.
    _pinned: PhantomData<T>,
}

// SAFETY: another thread gets at nothing of the value: every use is checked, and so is the drop.
unsafe impl<T> Send for SendWrapper<T> {}
// SAFETY: the same.
unsafe impl<T> Sync for SendWrapper<T> {}

impl<T> SendWrapper<T> {
    /// It belongs to this thread, and to its loop, if there is one.
    pub fn new(value: T) -> SendWrapper<T> {
        let on = EventLoop::with_current(|lp| lp.map_or(0, |lp| lp.remote.id));
        SendWrapper {
            value: ManuallyDrop::new(Box::new(value)),
            thread: thread::current().id(),
            on,
            _pinned: PhantomData,
        }
    }

    /// Whether this is its thread.
    pub fn is_here(&self) -> bool {
        thread::current().id() == self.thread
    }

    /// The value.
    ///
    /// # Panics
    ///
    /// On another thread.
    #[track_caller]
    pub fn into_inner(self) -> T {
        self.check();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once: what held it is not dropped.
        *unsafe { ManuallyDrop::take(&mut this.value) }
    }

    /// The value, pinned with the wrapper.
    #[track_caller]
    fn project(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.check();
        // SAFETY: only `into_inner` and `deref_mut` reach the value otherwise, and those are not to be had of a wrapper that is
        // pinned, unless the value does not mind.
        unsafe { self.map_unchecked_mut(|this| &mut **this.value) }
    }

    #[track_caller]
    fn check(&self) {
        assert!(
            self.is_here(),
            "a `SendWrapper` is used on another thread than its own: what it holds belongs to a loop there; \
             `LoopHandle::spawn` runs a function there from anywhere"
        );
    }
}

impl<T> Deref for SendWrapper<T> {
    type Target = T;

    #[track_caller]
    fn deref(&self) -> &T {
        self.check();
        &self.value
    }
}

impl<T> DerefMut for SendWrapper<T> {
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        self.check();
        &mut self.value
    }
}

impl<F: Future> Future for SendWrapper<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().poll(context)
    }
}

#[cfg(feature = "futures-core")]
impl<S: futures_core::Stream> futures_core::Stream for SendWrapper<S> {
    type Item = S::Item;

    #[track_caller]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.project().poll_next(context)
    }
}

#[cfg(feature = "futures-io")]
impl<S: futures_io::AsyncRead> futures_io::AsyncRead for SendWrapper<S> {
    #[track_caller]
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.project().poll_read(context, buffer)
    }
}

#[cfg(feature = "futures-io")]
impl<S: futures_io::AsyncWrite> futures_io::AsyncWrite for SendWrapper<S> {
    #[track_caller]
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().poll_write(context, bytes)
    }

    #[track_caller]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().poll_write_vectored(context, slices)
    }

    #[track_caller]
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().poll_flush(context)
    }

    #[track_caller]
    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().poll_close(context)
    }
}

#[cfg(feature = "hyper")]
impl<S: hyper::rt::Read> hyper::rt::Read for SendWrapper<S> {
    #[track_caller]
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().poll_read(context, buffer)
    }
}

#[cfg(feature = "hyper")]
impl<S: hyper::rt::Write> hyper::rt::Write for SendWrapper<S> {
    #[track_caller]
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().poll_write(context, bytes)
    }

    #[track_caller]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.deref().is_write_vectored()
    }

    #[track_caller]
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().poll_flush(context)
    }

    #[track_caller]
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().poll_shutdown(context)
    }
}

impl<T> Drop for SendWrapper<T> {
    fn drop(&mut self) {
        // SAFETY: taken once, and not used after this.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        if self.is_here() {
            return drop(value);
        }
        let value = ManuallyDrop::new(value);
        let Some(home) = remote::find(self.on) else {
            let text = "a value in a `SendWrapper` was dropped on another thread than its own, and its loop is gone: it is leaked";
            return log::error!(target: "corio::aio", "{text}");
        };
        // If the letter is not delivered, it is dropped here, and this value with it: then it has no loop to go to any more.
        let parcel = SendWrapper { value, thread: self.thread, on: 0, _pinned: PhantomData };
        let _ = home.send(Message::Call(Box::new(move || drop(parcel)), Location::caller()));
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for SendWrapper<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_tuple("SendWrapper");
        if self.is_here() { text.field(&self.value) } else { text.field(&"on another thread") }.finish()
    }
}
