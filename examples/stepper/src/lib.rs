//! The learning path on a full screen: a program is run on the virtual clock and recorded, and then one walks through the record.
//!
//! ```text
//!  path      the examples, compiled in, and the run of one of them
//!    │
//!  screen    what is to be seen, and what a key does to it: the letters of `corio::observe::Walk`, which knows the way
//!    │
//!  draw      a picture of that, in cells
//! ```
//!
//! `main.rs` is the terminal. Nothing else knows that there is one, so tests draw into a buffer.

mod draw;
mod path;
mod screen;

pub use draw::{Look, draw};
pub use path::{Example, Recorded};
pub use screen::{Menu, Next, Run, Screen};
