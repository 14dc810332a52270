//! All records of a run, to be looked at afterwards.

use std::cell::RefCell;
use std::rc::Rc;

use super::event::{Event, Record};
use super::replay::Replay;
use super::{Names, Narrator, Observer};

/// Keeps all records of a run, to look at them afterwards, as often as one likes, forwards and backwards.
///
/// It is a handle: the clone that is given to [`Runner::observer`](crate::Runner::observer) and the one that is kept are
/// the same recording. A record takes 64 bytes at most; nothing is thrown away. It goes on through all runs of a runner, from
/// when it was added, and counts their records from 1; another runner begins it anew.
///
/// ```
/// use corio::observe::Recording;
/// use corio::{Runner, secs, sleep};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
/// assert!(recording.narrate(1).contains("nothing is ready"));
/// assert!(recording.records().windows(2).all(|pair| pair[0].seq < pair[1].seq)); // one total order
/// assert_eq!(recording.names().task(1), "main");
/// assert_eq!(recording.replay().steps(), recording.records().len() as u64); // to walk through it
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recording {
    tape: Rc<RefCell<(Vec<Record>, Names)>>,
}

impl Recording {
    /// An empty one.
    pub fn new() -> Recording {
        Recording::default()
    }

    /// The records so far.
    pub fn records(&self) -> Vec<Record> {
        self.tape.borrow().0.clone()
    }

    /// The names and texts that the records refer to.
    pub fn names(&self) -> Names {
        self.tape.borrow().1.clone()
    }

    /// The run so far, to go through it forwards and backwards; see [`Replay`].
    pub fn replay(&self) -> Replay {
        Replay::new(self.records(), self.names())
    }

    /// The run as a [`Narrator`] tells it.
    pub fn narrate(&self, detail: u8) -> String {
        let mut text = Vec::new();
        {
            let (records, names) = &*self.tape.borrow();
            let mut narrator = Narrator::new(&mut text).detail(detail);
            records.iter().for_each(|record| narrator.record(record, names));
        }
        String::from_utf8(text).expect("a narrator writes text")
    }
}

impl Observer for Recording {
    fn record(&mut self, record: &Record, names: &Names) {
        let (records, kept) = &mut *self.tape.borrow_mut();
        if record.seq == 1 {
            // Another loop counts from 1 again: what was kept of the one before cannot be told apart.
            (*records, *kept) = Default::default();
        }
        // Who is added to a runner between two runs has missed the first. Who is there twice has been told already.
        let Some(missed) = record.seq.checked_sub(records.len() as u64 + 1) else { return };
        records.push(record.without_the_first(missed));
        match record.event {
            // The names at the end are those that tasks have been given.
            Event::LoopStop => kept.clone_from(names),
            Event::Spawn { task, .. } => drop(kept.tasks.insert(task, names.task(task))),
            event if event.text().is_some() => {
                if kept.texts.is_empty() {
                    kept.first = names.first;
                }
                kept.texts.extend_from_slice(names.texts.get(kept.texts.len()..).unwrap_or_default());
            }
            _ => {}
        }
    }
}
