//~ E0521 borrowed data escapes outside of closure
use std::cell::Cell;
use std::rc::Rc;

use corio::{Generator, Yielder};

pub fn escape() {
    let outside: Rc<Cell<Option<&'static Yielder<(), u32>>>> = Rc::default();
    let slot = outside.clone();
    let _generator = Generator::<u32>::new(move |y| {
        slot.set(Some(y));
        Ok(())
    });
}
