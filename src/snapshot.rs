//! The values of task-locals at one moment, and how they are handed on.
//!
//! A snapshot is shared until somebody changes it: handing one on costs a counted reference, and nothing at all where
//! there are no values.

use std::any::Any;
use std::rc::Rc;

/// Names a task-local: the address of its static.
pub(crate) type Key = usize;

/// The values, in the order in which they were first set. They are few, so looking one up is a search.
#[derive(Clone, Default)]
pub(crate) struct Snapshot(Option<Rc<Vec<Entry>>>);

type Entry = (Key, Rc<dyn Any>);

impl Snapshot {
    pub(crate) const fn new() -> Snapshot {
        Snapshot(None)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn get(&self, key: Key) -> Option<Rc<dyn Any>> {
        let values = self.0.as_deref()?;
        values.iter().find(|(its, _)| *its == key).map(|(_, value)| value.clone())
    }

    /// Sets a value, or takes it away, and returns the one before. No user code runs: whoever calls this drops it.
    pub(crate) fn replace(&mut self, key: Key, value: Option<Rc<dyn Any>>) -> Option<Rc<dyn Any>> {
        let values = Rc::make_mut(self.0.get_or_insert_default());
        let place = values.iter().position(|(its, _)| *its == key);
        let before = match (place, value) {
            (Some(place), Some(value)) => Some(std::mem::replace(&mut values[place].1, value)),
            (Some(place), None) => Some(values.remove(place).1),
            (None, Some(value)) => {
                values.push((key, value));
                None
            }
            (None, None) => None,
        };
        if values.is_empty() {
            self.0 = None;
        }
        before
    }

    /// The values that nobody else has a share in, the one that was set last first.
    pub(crate) fn into_values(self) -> Vec<Rc<dyn Any>> {
        let values = self.0.and_then(|values| Rc::try_unwrap(values).ok()).unwrap_or_default();
        values.into_iter().rev().map(|(_, value)| value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_shared_until_one_of_the_two_changes() {
        let mut one = Snapshot::new();
        assert!(one.replace(8, Some(Rc::new(1))).is_none() && one.replace(16, Some(Rc::new("a"))).is_none());
        let mut two = one.clone();
        assert!(Rc::ptr_eq(one.0.as_ref().unwrap(), two.0.as_ref().unwrap()));
        let before = two.replace(8, Some(Rc::new(2))).unwrap();
        let number = |snapshot: &Snapshot| *snapshot.get(8).unwrap().downcast::<i32>().unwrap();
        assert_eq!((number(&one), number(&two), *before.downcast::<i32>().unwrap()), (1, 2, 1));
        assert!(two.replace(8, None).is_some() && two.replace(16, None).is_some() && two.is_empty());
        assert!(two.replace(24, None).is_none() && two.is_empty());
        let kept = one.clone();
        assert!(kept.into_values().is_empty(), "the other one has them still");
        let order: Vec<bool> = one.into_values().iter().map(|value| value.is::<&str>()).collect();
        assert_eq!(order, [true, false]);
    }
}
