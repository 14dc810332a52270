//! What asyncio does, line by line, and what corio does.
//!
//! asyncio's observable behaviour is numbered by area: `LOCK-03` is the third line about locks. [`check`] knows how many
//! lines each area has, and wants for each either a test that cites its number, here or in any other file of tests, or a
//! row among the departures of `docs/book/from-python.md`.
//!
//! The tests of this directory say in their doc comments what the line says.

#[path = "../common/mod.rs"]
mod common;

mod cancelling;
mod check;
mod combinators;
mod event_loop;
mod futures;
mod groups;
mod introspection;
mod port;
mod queues;
mod runner;
mod sync;
mod tasks;
mod threads;
mod timeouts;
