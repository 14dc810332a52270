//! Values as the views show them, of those types that can be known: what goes into a coroutine, and what comes out.
//!
//! A coroutine's types are the program's, and need not be printable. So a value is asked whether it is of a type of std's that
//! is often handed over; of any other, the name of its type has to do. Only std's code runs here, on std's types: it cannot
//! pause, and does not panic. The one exception is the text of an error, [`of_error`].

use std::any::{Any, type_name};
use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::with_hub;
use super::words::{beginning, shown};
use crate::event_loop::EventLoop;
use crate::task::body::drop_quietly;
use crate::task::no_suspend;

/// How many characters of a value are shown.
const LONGEST: usize = 40;

/// A value on one line.
pub(crate) fn text<T: 'static>(value: &T) -> String {
    macro_rules! first_of {
        ($($known:ty)*) => { None$(.or_else(|| of_type::<$known>(value)))* };
    }
    let known = first_of! {
        () bool char &'static str String Duration f32 f64
        u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize
    };
    known.unwrap_or_else(|| short(type_name::<T>()))
}

/// The text of a value, if it is of this type, or an option of it.
fn of_type<T: Debug + 'static>(value: &dyn Any) -> Option<String> {
    let plain = value.downcast_ref::<T>().map(|value| value as &dyn Debug);
    let value = plain.or_else(|| value.downcast_ref::<Option<T>>().map(|value| value as &dyn Debug))?;
    Some(beginning(LONGEST, format_args!("{value:?}")))
}

/// The name of a type without paths, as `Vec<Item>` for `alloc::vec::Vec<shop::Item>`.
fn short(name: &str) -> String {
    let is_in_path = |c: char| c.is_alphanumeric() || "_{}#".contains(c);
    let mut short = String::new();
    for part in name.split("::") {
        short.truncate(short.trim_end_matches(is_in_path).len());
        short += part;
    }
    beginning(LONGEST, format_args!("{short}"))
}

/// The number of a text, for the event that comes next. It is made only if somebody watches who is not in the background.
#[cold]
#[inline(never)]
pub(crate) fn noted(lp: &EventLoop, text: impl FnOnce() -> String) -> Option<u32> {
    lp.hub.is_noticed().then(|| lp.hub.text(text()))
}

/// The text of an error, or its kind if that says as much; nothing, if nobody is to see it.
///
/// Std does not tell whether a text within an error is its own or made by the user's code. So this is called where such code
/// does no harm: nothing of the loop is borrowed, it cannot pause, and if it panics the kind has to do.
#[cold]
pub(crate) fn of_error(error: &io::Error) -> Option<String> {
    let mut is_noticed = false;
    with_hub(|_, hub| is_noticed = hub.is_noticed());
    if !is_noticed {
        return None;
    }
    let kind = error.kind();
    let text = || no_suspend(|| shown(error));
    // While the thread panics, a panic of that code would be one too many.
    let text = (!std::thread::panicking()).then(|| catch_unwind(AssertUnwindSafe(text)));
    let text = text.and_then(|text| text.map_err(|payload| drop_quietly(payload, "the payload of a panic")).ok());
    let says_more = |text: &String| !text.is_empty() && *text != kind.to_string();
    Some(text.filter(says_more).unwrap_or_else(|| format!("{kind:?}")))
}
