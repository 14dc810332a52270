//! From a stream to another.

use std::io::{self, Read, Write};

use super::HalfClose;
use crate::observe::event::Place;
use crate::scope;
use crate::task::caller;
use crate::task::wait::{Context, checkpoint, in_context};

/// Large enough that a system call is worth it, and small enough for a cache of the second level.
const BUFFER: usize = 128 * 1024;
/// What it grows to while reads fill it: between files each read and write is a way to a helper thread and back.
const LARGEST: usize = 1024 * 1024;

/// Copies everything from `reader` to `writer`, and says how many bytes that were. std: [`std::io::copy`], with a larger
/// buffer.
///
/// # Errors
///
/// The first of either side; a cancellation. What was read before it has been written, but for the bytes of the last
/// read.
///
/// # Suspends
///
/// Wherever one of them does, and also if none does when the turn was long: memory into memory lets others run, and can be
/// cancelled.
///
/// ```
/// let mut text = Vec::new();
/// assert_eq!(corio::io::copy(&mut &b"hello"[..], &mut text)?, 5);
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn copy<R: Read + ?Sized, W: Write + ?Sized>(reader: &mut R, writer: &mut W) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    let at = caller();
    loop {
        may_go_on(at)?;
        let n = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        writer.write_all(&buffer[..n])?;
        total += n as u64;
        if n == buffer.len() && n < LARGEST {
            buffer.resize(2 * n, 0);
        }
    }
    writer.flush()?;
    Ok(total)
}

/// On a task, a checkpoint. It comes while nothing is in the buffer.
fn may_go_on(at: Place) -> io::Result<()> {
    in_context(|context| match context {
        Context::Task(lp, task) => checkpoint(lp, task, at),
        _ => Ok(()),
    })
}

/// Copies in both directions at once, until both have ended, and says how many bytes went from `a` to `b`, and from `b` to
/// `a`: the heart of a proxy. When one side ends, the writing half of the other is ended, and the other direction goes
/// on.
///
/// # Errors
///
/// The first of either direction; the other one is given up then. A cancellation. [`InvalidInput`](io::ErrorKind::InvalidInput)
/// outside a task.
///
/// # Suspends
///
/// Until both directions have ended.
///
/// ```
/// use corio::io::{copy_bidirectional, duplex};
/// use corio::{run, spawn};
/// use std::io::{Read, Write};
///
/// run(|| {
///     let ((mut client, near), (far, mut server)) = (duplex(16), duplex(16));
///     let proxy = spawn(move || copy_bidirectional(&near, &far));
///     let service = spawn(move || {
///         let mut question = String::new();
///         server.read_to_string(&mut question)?;
///         write!(server, "{}?", question.len())
///     });
///     client.write_all(b"how long")?;
///     client.end_writing();
///     let mut answer = String::new();
///     client.read_to_string(&mut answer)?;
///     assert_eq!((answer.as_str(), proxy.join()?), ("8?", (8, 2)));
///     service.join()
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn copy_bidirectional<A, B>(a: &A, b: &B) -> io::Result<(u64, u64)>
where
    A: HalfClose,
    B: HalfClose,
    for<'a> &'a A: Read + Write,
    for<'a> &'a B: Read + Write,
{
    scope(|s| {
        let there = s.spawn(|| one_way(&mut { a }, &mut { b }, b));
        let back = one_way(&mut { b }, &mut { a }, a)?;
        Ok((there.join()?, back))
    })
}

fn one_way(reader: &mut impl Read, writer: &mut impl Write, end: &impl HalfClose) -> io::Result<u64> {
    let total = copy(reader, writer)?;
    end.end_writing()?;
    Ok(total)
}
