//! stub
use crate::event_loop::EventLoop;
pub(crate) fn deadlock(lp: &EventLoop) -> String {
    let _ = lp;
    String::new()
}
