//! All tasks of a loop, each under a small number.

use super::TaskRef;

/// One word for each task, and half a word for each place that is free again.
#[derive(Default)]
pub(crate) struct TaskTable {
    places: Vec<Option<TaskRef>>,
    free: Vec<u32>,
}

impl TaskTable {
    /// Takes a task in and says where it is.
    #[inline]
    pub(crate) fn insert(&mut self, task: TaskRef) -> u32 {
        if let Some(key) = self.free.pop() {
            self.places[key as usize] = Some(task);
            return key;
        }
        let key = u32::try_from(self.places.len()).expect("fewer than 2^32 tasks");
        self.places.push(Some(task));
        key
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: u32) -> Option<TaskRef> {
        let task = self.places.get_mut(key as usize)?.take();
        if task.is_some() {
            self.free.push(key);
        }
        task
    }

    pub(crate) fn get(&self, key: u32) -> Option<&TaskRef> {
        self.places.get(key as usize)?.as_ref()
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &TaskRef> {
        self.places.iter().flatten()
    }
}
