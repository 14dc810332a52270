//! Timers: a hierarchical timing wheel with an exact front.
//!
//! Most timers are timeouts that are cancelled long before they are due, so
//! arming and cancelling must cost a few list links whatever the number of
//! timers. A wheel does that, but it knows its timers only to the tick; the
//! front, a small binary heap, puts them in order to the nanosecond.
//!
//! ```text
//!            cursor: the tick time has reached
//!               |
//!    front      |  level 0      level 1      level 2             level 7
//!  +---------+  |  64 slots     64 slots     64 slots            4 slots
//!  |  heap,  |<-+- 1 tick ea. - 64 ticks  -- 64^2 ticks -- ... - 64^7 ticks
//!  | due,seq |     (1 ms)       (67 ms)      (4.3 s)             (146 years)
//!  +---------+
//!       ^----------- a slot that must be ordered early (`next_due`)
//! ```
//!
//! A tick is a number of 6-bit digits. A timer lives on the level of the
//! highest digit in which its tick differs from the cursor, in the slot that
//! digit names; one whose tick the cursor has reached lives in the front. From
//! that rule follows all the rest:
//!
//! * every timer on a level is due before every timer on the levels above it,
//!   and lower slots of a level before higher ones, so the earliest slot is
//!   found with one bit scan and nothing ever wraps around;
//! * eight levels hold every deadline a `u64` of nanoseconds can express;
//! * when the cursor enters a slot, the levels below are empty, and the timers
//!   of that slot move down, or to the front, in the order they had.
//!
//! The cursor follows the `now` of [`Timers::pop_due`] only. It never runs
//! ahead to the next deadline: timers armed meanwhile would all be behind it,
//! and the front would become the whole structure.

/// Nanoseconds of loop time since the loop's start.
pub(crate) type Nanos = u64;

/// The deadline that never comes.
const NEVER: Nanos = Nanos::MAX;
/// A tick is 2^20 ns, about a millisecond.
const TICK_BITS: u32 = 20;
/// Each level has 2^6 slots, so that one word tells which are occupied.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// The end of a list.
const NIL: u32 = u32::MAX;
/// Vectors of this capacity or less are never shrunk.
const KEEP: usize = 256;

/// Names one armed timer; it goes stale when the timer fires or is cancelled.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct TimerKey {
    index: u32,
    generation: u32,
}

impl TimerKey {
    /// The sequence number is global, so its low half stays unique even when
    /// storage is released and regrown. Only a stale key that is kept over an
    /// exact multiple of 2^32 arms could be mistaken for another.
    fn new(index: u32, seq: u64) -> Self {
        Self { index, generation: seq as u32 }
    }
}

impl TimerKey {
    /// The number by which events call the timer: timers count from 1.
    pub(crate) fn id(self) -> u64 {
        u64::from(self.generation)
    }
}

/// A set of timers, each carrying a payload until it fires or is cancelled.
pub(crate) struct Timers<T> {
    /// Armed timers and free entries. The last one is never free.
    entries: Vec<Entry<T>>,
    free: List,
    len: usize,
    /// The sequence number of the next timer.
    seq: u64,
    /// The greatest tick `pop_due` has been called in.
    cursor: u64,
    /// The wheel, up to the highest level used so far.
    levels: Vec<Level>,
    /// A binary heap of every timer with a tick up to the cursor, and of those
    /// `next_due` had to put in order ahead of time.
    front: Vec<Seat>,
}

struct Entry<T> {
    due: Nanos,
    /// The number of timers armed before this one.
    seq: u64,
    home: Home,
    prev: u32,
    next: u32,
    /// `None` if the entry is free.
    payload: Option<T>,
}

/// Where an armed timer is.
#[derive(Copy, Clone)]
enum Home {
    /// Nowhere, since it is due never.
    Never,
    Wheel {
        level: u8,
        slot: u8,
    },
    Front {
        at: u32,
    },
}

/// A timer in the front; the field order makes the derived order the firing
/// order. The deadline is repeated here to compare seats without a lookup.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seat {
    due: Nanos,
    seq: u64,
    index: u32,
}

struct Level {
    /// One bit for each slot that has timers.
    occupied: u64,
    /// One bit for each occupied slot whose list may be out of firing order.
    /// Timers of one duration, the usual case, arrive in order, and then the
    /// head of the list is the slot's earliest for free.
    unsorted: u64,
    slots: [List; SLOTS],
}

impl Level {
    const EMPTY: Self = Self { occupied: 0, unsorted: 0, slots: [List::EMPTY; SLOTS] };
}

/// The ends of a doubly linked list running through the entries.
#[derive(Copy, Clone)]
struct List {
    head: u32,
    tail: u32,
}

impl List {
    const EMPTY: Self = Self { head: NIL, tail: NIL };

    fn push_back<T>(&mut self, entries: &mut [Entry<T>], index: u32) {
        entries[index as usize].prev = self.tail;
        entries[index as usize].next = NIL;
        match self.tail {
            NIL => self.head = index,
            tail => entries[tail as usize].next = index,
        }
        self.tail = index;
    }

    fn push_front<T>(&mut self, entries: &mut [Entry<T>], index: u32) {
        entries[index as usize].prev = NIL;
        entries[index as usize].next = self.head;
        match self.head {
            NIL => self.tail = index,
            head => entries[head as usize].prev = index,
        }
        self.head = index;
    }

    fn remove<T>(&mut self, entries: &mut [Entry<T>], index: u32) {
        let Entry { prev, next, .. } = entries[index as usize];
        match prev {
            NIL => self.head = next,
            prev => entries[prev as usize].next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => entries[next as usize].prev = prev,
        }
    }
}

impl<T> Timers<T> {
    /// Makes an empty set; it allocates nothing until the first `arm`.
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: List::EMPTY,
            len: 0,
            seq: 1,
            cursor: 0,
            levels: Vec::new(),
            front: Vec::new(),
        }
    }

    /// The number of armed timers, those due never included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms a timer. `Nanos::MAX` means never: it waits to be cancelled.
    #[inline]
    pub(crate) fn arm(&mut self, due: Nanos, payload: T) -> TimerKey {
        let entry = Entry { due, seq: self.seq, home: Home::Never, prev: NIL, next: NIL, payload: Some(payload) };
        let index = match self.free.head {
            NIL => {
                let index = self.entries.len();
                assert!(index < NIL as usize, "too many timers");
                self.entries.push(entry);
                index as u32
            }
            index => {
                self.free.remove(&mut self.entries, index);
                self.entries[index as usize] = entry;
                index
            }
        };
        self.place(index);
        let key = TimerKey::new(index, self.seq);
        self.seq += 1;
        self.len += 1;
        key
    }

    /// Disarms a timer and returns its payload, or `None` if the key is stale.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let home = self.get(key)?.home;
        match home {
            Home::Never => {}
            Home::Wheel { level, slot } => self.leave_slot(key.index, level, slot),
            Home::Front { at } => self.leave_front(at as usize),
        }
        self.release(key.index)
    }

    /// The deadline of an armed timer.
    pub(crate) fn due(&self, key: TimerKey) -> Option<Nanos> {
        self.get(key).map(|entry| entry.due)
    }

    /// The earliest deadline, exactly. Timers due never have none.
    pub(crate) fn next_due(&mut self) -> Option<Nanos> {
        loop {
            let front = self.front.first().map(|seat| seat.due);
            let Some((level, slot)) = self.first_slot() else {
                return front;
            };
            let start = self.slot_ticks(level, slot).0 << TICK_BITS;
            if front.is_some_and(|due| due <= start) {
                return front;
            }
            let Level { unsorted, slots, .. } = &self.levels[level];
            if unsorted & (1 << slot) == 0 {
                let head = self.entries[slots[slot].head as usize].due;
                return Some(front.map_or(head, |due| due.min(head)));
            }
            // Searching the list would find the answer too, but again at every
            // call. In the front, each timer is put in order just once.
            self.empty_slot(level, slot, Self::join_front);
        }
    }

    /// Removes and returns the earliest timer if it is due at `now`. Timers
    /// with equal deadlines come in the order they were armed.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<(TimerKey, Nanos, T)> {
        self.advance(now >> TICK_BITS);
        let Seat { due, seq, index } = *self.front.first().filter(|seat| seat.due <= now)?;
        self.leave_front(0);
        let payload = self.release(index)?;
        Some((TimerKey::new(index, seq), due, payload))
    }

    /// The armed timers, in an order that depends only on the calls made.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TimerKey, Nanos, &T)> {
        (0..).zip(&self.entries).filter_map(|(index, entry)| {
            let key = TimerKey::new(index, entry.seq);
            Some((key, entry.due, entry.payload.as_ref()?))
        })
    }

    fn get(&self, key: TimerKey) -> Option<&Entry<T>> {
        self.entries
            .get(key.index as usize)
            .filter(|entry| entry.payload.is_some() && key == TimerKey::new(key.index, entry.seq))
    }

    /// Frees an entry that has left the wheel and the front.
    #[inline]
    fn release(&mut self, index: u32) -> Option<T> {
        self.len -= 1;
        if index as usize + 1 < self.entries.len() {
            // Low entries are reused first, so that the high ones can go.
            if index < self.free.head {
                self.free.push_front(&mut self.entries, index);
            } else {
                self.free.push_back(&mut self.entries, index);
            }
            return self.entries[index as usize].payload.take();
        }
        let payload = self.entries.pop()?.payload;
        while self.entries.last().is_some_and(|e| e.payload.is_none()) {
            let last = self.entries.len() - 1;
            self.free.remove(&mut self.entries, last as u32);
            self.entries.pop();
        }
        give_back(&mut self.entries);
        payload
    }

    /// Moves the cursor to `tick`, and every timer it meets to the front.
    fn advance(&mut self, tick: u64) {
        if tick <= self.cursor {
            return;
        }
        while let Some((level, slot)) = self.first_slot() {
            let (start, end) = self.slot_ticks(level, slot);
            if start > tick {
                break;
            }
            self.cursor = tick.min(end);
            self.empty_slot(level, slot, Self::place);
        }
        self.cursor = tick;
    }

    /// Puts a timer where its deadline and the cursor say.
    // ANCHOR: place
    #[inline]
    fn place(&mut self, index: u32) {
        let due = self.entries[index as usize].due;
        let tick = due >> TICK_BITS;
        if due == NEVER {
            self.entries[index as usize].home = Home::Never;
        } else if tick <= self.cursor {
            self.join_front(index);
        } else {
            let level = (tick ^ self.cursor).ilog2() / SLOT_BITS;
            let slot = (tick >> (level * SLOT_BITS)) as usize % SLOTS;
            self.join_slot(index, level as u8, slot as u8);
        }
    }
    // ANCHOR_END: place

    #[inline]
    fn join_slot(&mut self, index: u32, level: u8, slot: u8) {
        if self.levels.len() <= level.into() {
            self.levels.resize_with(usize::from(level) + 1, || Level::EMPTY);
        }
        let entry = &mut self.entries[index as usize];
        entry.home = Home::Wheel { level, slot };
        let order = (entry.due, entry.seq);
        let level = &mut self.levels[usize::from(level)];
        let list = &mut level.slots[usize::from(slot)];
        if list.tail == NIL {
            level.occupied |= 1 << slot;
            level.unsorted &= !(1 << slot);
        } else {
            let tail = &self.entries[list.tail as usize];
            if (tail.due, tail.seq) > order {
                level.unsorted |= 1 << slot;
            }
        }
        list.push_back(&mut self.entries, index);
    }

    fn leave_slot(&mut self, index: u32, level: u8, slot: u8) {
        let level = &mut self.levels[usize::from(level)];
        let list = &mut level.slots[usize::from(slot)];
        list.remove(&mut self.entries, index);
        if list.head == NIL {
            level.occupied &= !(1 << slot);
        }
    }

    /// Hands the timers of a slot, in list order, to `rehome`.
    fn empty_slot(&mut self, level: usize, slot: usize, rehome: impl Fn(&mut Self, u32)) {
        let level = &mut self.levels[level];
        level.occupied &= !(1 << slot);
        let mut index = std::mem::replace(&mut level.slots[slot], List::EMPTY).head;
        while index != NIL {
            let next = self.entries[index as usize].next;
            rehome(self, index);
            index = next;
        }
    }

    /// The level and number of the earliest slot that has timers.
    fn first_slot(&self) -> Option<(usize, usize)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// The first and the last tick of a slot.
    fn slot_ticks(&self, level: usize, slot: usize) -> (u64, u64) {
        let shift = level as u32 * SLOT_BITS;
        let digits_above = self.cursor >> (shift + SLOT_BITS);
        let start = (digits_above << SLOT_BITS | slot as u64) << shift;
        (start, start + ((1 << shift) - 1))
    }

    fn join_front(&mut self, index: u32) {
        let Entry { due, seq, .. } = self.entries[index as usize];
        self.front.push(Seat { due, seq, index });
        self.sift(self.front.len() - 1);
    }

    fn leave_front(&mut self, at: usize) {
        self.front.swap_remove(at);
        if at < self.front.len() {
            self.sift(at);
        }
        give_back(&mut self.front);
    }

    /// Moves the one seat that may be out of heap order, at `at`, up or down.
    fn sift(&mut self, mut at: usize) {
        let seat = self.front[at];
        while at > 0 && seat < self.front[(at - 1) / 2] {
            let parent = (at - 1) / 2;
            self.set_seat(at, self.front[parent]);
            at = parent;
        }
        loop {
            let left = 2 * at + 1;
            let children = self.front.iter().enumerate().skip(left).take(2);
            match children.min_by_key(|&(_, child)| child) {
                Some((child, &earlier)) if earlier < seat => {
                    self.set_seat(at, earlier);
                    at = child;
                }
                _ => break,
            }
        }
        self.set_seat(at, seat);
    }

    /// Writes a seat, and its place into the entry so that `cancel` finds it:
    /// a front with cancelled timers left in it could grow without bound.
    fn set_seat(&mut self, at: usize, seat: Seat) {
        self.front[at] = seat;
        self.entries[seat.index as usize].home = Home::Front { at: at as u32 };
    }
}

/// Shrinks a vector that is mostly unused. It then has room to double, or has
/// to halve, before it is reallocated again, so the cost is spread thin.
fn give_back<U>(vec: &mut Vec<U>) {
    if vec.capacity() > KEEP && vec.len() < vec.capacity() / 4 {
        vec.shrink_to(KEEP.max(vec.len() * 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const MS: Nanos = 1_000_000;
    const SECOND: Nanos = 1000 * MS;
    const HOUR: Nanos = 3600 * SECOND;
    const YEAR: Nanos = 8766 * HOUR;

    impl<T> Timers<T> {
        /// Entries and seats allocated.
        fn capacity(&self) -> usize {
            self.entries.capacity() + self.front.capacity()
        }

        /// Asserts all the module documentation promises about the layout.
        fn check(&self) {
            let mut armed = 0;
            for (index, entry) in (0..).zip(&self.entries) {
                if entry.payload.is_none() {
                    continue;
                }
                armed += 1;
                let tick = entry.due >> TICK_BITS;
                match entry.home {
                    Home::Never => assert_eq!(entry.due, NEVER),
                    Home::Front { at } => assert_eq!(self.front[at as usize].index, index),
                    Home::Wheel { level, slot } => {
                        let differing = (tick ^ self.cursor).ilog2() / SLOT_BITS;
                        assert!(tick > self.cursor);
                        assert_eq!(differing, u32::from(level));
                        let (start, end) = self.slot_ticks(level.into(), slot.into());
                        assert!((start..=end).contains(&tick));
                    }
                }
            }
            assert_eq!(armed, self.len());
            for at in 1..self.front.len() {
                assert!(self.front[(at - 1) / 2] < self.front[at]);
            }
            let mut linked = self.front.len();
            for level in &self.levels {
                for (slot, list) in level.slots.iter().enumerate() {
                    let indexes = self.walk(*list);
                    linked += indexes.len();
                    assert_eq!(level.occupied >> slot & 1 == 1, !indexes.is_empty());
                    let order = indexes.iter().map(|&i| {
                        let entry = &self.entries[i as usize];
                        (entry.due, entry.seq)
                    });
                    assert!(level.unsorted >> slot & 1 == 1 || order.is_sorted());
                }
            }
            let never = self.iter().filter(|&(_, due, _)| due == NEVER).count();
            assert_eq!(linked + never, self.len());
            assert_eq!(self.walk(self.free).len() + armed, self.entries.len());
            assert!(self.entries.last().is_none_or(|e| e.payload.is_some()));
        }

        fn walk(&self, list: List) -> Vec<u32> {
            let mut indexes = Vec::new();
            let (mut prev, mut index) = (NIL, list.head);
            while index != NIL {
                assert_eq!(self.entries[index as usize].prev, prev);
                indexes.push(index);
                (prev, index) = (index, self.entries[index as usize].next);
            }
            assert_eq!(list.tail, prev);
            indexes
        }
    }

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, bound: u64) -> u64 {
            self.next() % bound
        }

        /// A duration of any magnitude, often one seen before.
        fn duration(&mut self) -> Nanos {
            match self.below(12) {
                0 => 0,
                1 => self.below(4),
                2 => self.below(1 << TICK_BITS),
                3 => self.below(10 * MS),
                4 => self.below(SECOND),
                5 => self.below(10) * MS,
                6 => self.below(4) * SECOND,
                7 => self.below(HOUR),
                8 => self.below(3) * HOUR,
                9 => self.below(400 * YEAR),
                10 => 1 << self.below(63),
                _ => NEVER,
            }
        }
    }

    fn drain<T>(timers: &mut Timers<T>, now: Nanos) -> Vec<(Nanos, T)> {
        let mut fired = Vec::new();
        while let Some((key, due, payload)) = timers.pop_due(now) {
            assert!(due <= now, "early");
            assert_eq!(timers.due(key), None);
            fired.push((due, payload));
        }
        fired
    }

    /// Runs a random program against a sorted map of (due, seq).
    fn against_model(seed: u64, operations: u32, crowd: usize) {
        let mut random = Random(seed);
        let mut timers = Timers::new();
        let mut model = BTreeMap::new();
        let mut keys: Vec<(TimerKey, Nanos, u64)> = Vec::new();
        let (mut now, mut seq) = (0, 0);
        for operation in 0..operations {
            match random.below(10) {
                0..4 => {
                    // Some are armed in the past, and many in a full house.
                    let base = now - now.min(random.below(2) * random.below(SECOND));
                    let due = base.saturating_add(random.duration());
                    let key = timers.arm(due, seq);
                    assert_eq!(timers.due(key), Some(due));
                    model.insert((due, seq), key);
                    keys.push((key, due, seq));
                    seq += 1;
                }
                4..7 if !keys.is_empty() => {
                    // Keys are forgotten late, so many of these are stale.
                    let at = random.below(keys.len() as u64) as usize;
                    let (key, due, seq) = keys[at];
                    let armed = model.remove(&(due, seq)).is_some();
                    assert_eq!(timers.due(key), armed.then_some(due));
                    assert_eq!(timers.cancel(key), armed.then_some(seq));
                    assert_eq!(timers.cancel(key), None);
                    if keys.len() > 2 * crowd || random.below(4) == 0 {
                        keys.swap_remove(at);
                    }
                }
                7 => {
                    let step = random.duration();
                    now = match random.below(4) {
                        0 => now + random.below(MS),
                        1 => now - now.min(step),
                        2 if step < NEVER => now.saturating_add(step),
                        _ => model.keys().next().map_or(now, |&(due, _)| due.max(now)),
                    };
                    // Once in a while the far end of time, then start anew.
                    if now > 500 * YEAR {
                        now = NEVER;
                    }
                    let limit = random.below(20);
                    for _ in 0..=limit {
                        let expected = model.first_key_value().map(|(&id, &key)| (id, key));
                        let popped = timers.pop_due(now);
                        match expected {
                            Some(((due, seq), key)) if due <= now && due < NEVER => {
                                assert_eq!(popped, Some((key, due, seq)));
                                model.remove(&(due, seq));
                            }
                            _ => assert_eq!(popped, None),
                        }
                    }
                    if now == NEVER {
                        for (_, key) in std::mem::take(&mut model) {
                            assert!(timers.cancel(key).is_some());
                        }
                        assert!(timers.is_empty());
                        (timers, now) = (Timers::new(), 0);
                        keys.clear();
                    }
                }
                _ => {
                    let earliest = model.keys().next().map(|&(due, _)| due);
                    assert_eq!(timers.next_due(), earliest.filter(|&due| due < NEVER));
                }
            }
            while model.len() > crowd {
                let (_, key) = model.pop_last().unwrap();
                assert!(timers.cancel(key).is_some());
            }
            assert_eq!(timers.len(), model.len());
            if operation % 512 == 0 {
                timers.check();
                let mut listed: Vec<_> = timers.iter().map(|(k, due, &s)| (due, s, k)).collect();
                listed.sort_by_key(|&(due, seq, _)| (due, seq));
                assert!(model.iter().map(|(&(d, s), &k)| (d, s, k)).eq(listed));
            }
        }
    }

    /// C3: an earlier reading fires nothing early and forgets nothing; later ones go on as if it had not been.
    #[test]
    fn c03_a_backward_reading_of_the_clock_is_tolerated() {
        let mut timers = Timers::new();
        timers.arm(5 * SECOND, "first");
        timers.arm(HOUR, "late");
        assert_eq!(timers.pop_due(4 * SECOND), None);
        assert_eq!(timers.pop_due(SECOND), None);
        timers.check();
        timers.arm(2 * SECOND, "armed in the past of a reading");
        assert_eq!(timers.pop_due(SECOND), None);
        let due = |timers: &mut Timers<&'static str>, now| timers.pop_due(now).map(|(.., what)| what);
        assert_eq!(due(&mut timers, 2 * SECOND), Some("armed in the past of a reading"));
        assert_eq!(due(&mut timers, 5 * SECOND), Some("first"));
        assert_eq!(due(&mut timers, 3 * SECOND), None);
        timers.check();
        assert_eq!(due(&mut timers, HOUR), Some("late"));
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn agrees_with_a_sorted_map() {
        against_model(0x9E37_79B9_7F4A_7C15, 100_000, 2000);
        against_model(0xD1B5_4A32_D192_ED03, 100_000, 50);
        against_model(0x0123_4567_89AB_CDEF, 100_000, 4);
    }

    #[test]
    fn new_allocates_nothing() {
        let timers = Timers::<u64>::new();
        assert_eq!(timers.capacity() + timers.levels.capacity(), 0);
    }

    #[test]
    fn equal_deadlines_fire_in_arming_order() {
        let mut timers = Timers::new();
        let due = HOUR + 1;
        for id in 0..100 {
            timers.arm(due, id);
            // The cursor moves on, so that later ones land on lower levels.
            assert_eq!(timers.pop_due(id * HOUR / 100), None);
        }
        assert_eq!(timers.pop_due(HOUR), None);
        timers.arm(due, 100);
        let expected: Vec<_> = (0..=100).map(|id| (due, id)).collect();
        assert_eq!(drain(&mut timers, due), expected);
    }

    #[test]
    fn fires_on_the_nanosecond_at_every_magnitude() {
        for bit in 0..64 {
            for due in [(1 << bit) - 1, 1 << bit, (1 << bit) + 1] {
                let mut timers = Timers::new();
                let key = timers.arm(due, ());
                assert_eq!(timers.next_due(), Some(due));
                if let Some(before) = due.checked_sub(1) {
                    assert_eq!(timers.pop_due(before), None);
                }
                assert_eq!(timers.next_due(), Some(due));
                assert_eq!(timers.pop_due(due), Some((key, due, ())));
                assert!(timers.is_empty());
            }
        }
    }

    #[test]
    fn never_only_ends_by_cancel() {
        let mut timers = Timers::new();
        let never = timers.arm(NEVER, 'n');
        let last = timers.arm(NEVER - 1, 'l');
        assert_eq!(timers.next_due(), Some(NEVER - 1));
        assert_eq!(timers.pop_due(NEVER), Some((last, NEVER - 1, 'l')));
        assert_eq!(timers.pop_due(NEVER), None);
        assert_eq!(timers.next_due(), None);
        assert_eq!((timers.len(), timers.due(never)), (1, Some(NEVER)));
        assert_eq!(timers.cancel(never), Some('n'));
        assert!(timers.is_empty());
    }

    #[test]
    fn time_may_seem_to_run_backward() {
        let mut timers = Timers::new();
        assert_eq!(timers.pop_due(HOUR), None);
        timers.arm(SECOND, 'b');
        timers.arm(MS, 'a');
        timers.arm(2 * HOUR, 'c');
        assert_eq!(timers.pop_due(0), None);
        assert_eq!(timers.cursor, HOUR >> TICK_BITS);
        assert_eq!(timers.next_due(), Some(MS));
        assert_eq!(drain(&mut timers, SECOND - 1), [(MS, 'a')]);
        assert_eq!(drain(&mut timers, SECOND), [(SECOND, 'b')]);
        assert_eq!(timers.next_due(), Some(2 * HOUR));
        timers.check();
    }

    #[test]
    fn asking_for_a_far_deadline_keeps_near_timers_in_the_wheel() {
        let mut timers = Timers::new();
        timers.arm(HOUR, ());
        assert_eq!(timers.next_due(), Some(HOUR));
        for tick in (10..60).rev() {
            timers.arm(tick << TICK_BITS, ());
            assert_eq!(timers.next_due(), Some(tick << TICK_BITS));
        }
        assert!(timers.front.is_empty());
        timers.check();
    }

    #[test]
    fn a_slot_out_of_order_moves_to_the_front() {
        let mut timers = Timers::new();
        let start = 10 << TICK_BITS;
        let late = timers.arm(start + 9, 'e');
        timers.arm(start + 7, 'd');
        assert_eq!(timers.next_due(), Some(start + 7));
        assert_eq!(timers.front.len(), 2);
        // The slot is in use again, before and behind those in the front.
        timers.arm(start + 5, 'a');
        assert_eq!((timers.next_due(), timers.front.len()), (Some(start + 5), 2));
        timers.arm(start + 6, 'b');
        timers.arm(start + 7, 'f');
        assert_eq!((timers.next_due(), timers.front.len()), (Some(start + 5), 2));
        timers.check();
        assert_eq!(timers.cancel(late), Some('e'));
        let fired: String = drain(&mut timers, start + 9).iter().map(|f| f.1).collect();
        assert_eq!(fired, "abdf");
    }

    #[test]
    fn an_emptied_slot_is_in_order() {
        let mut timers = Timers::new();
        for key in [HOUR + 1, HOUR].map(|due| timers.arm(due, ())) {
            timers.cancel(key);
        }
        timers.arm(HOUR, ());
        timers.arm(HOUR + 1, ());
        assert_eq!((timers.next_due(), timers.front.len()), (Some(HOUR), 0));
    }

    /// LOOP-09: timers that are armed and cancelled again and again take no room.
    #[test]
    fn a_million_cancelled_timers_give_their_memory_back() {
        let mut timers = Timers::new();
        let keeper = timers.arm(HOUR, 0);
        let mut random = Random(42);
        let mut keys: Vec<_> =
            (0..1_000_000).map(|id| timers.arm(random.below([MS, 60 * SECOND][id % 2]), id)).collect();
        assert!(timers.front.len() > 400_000);
        for at in (1..keys.len()).rev() {
            keys.swap(at, random.below(at as u64 + 1) as usize);
        }
        for &key in &keys {
            assert!(timers.cancel(key).is_some());
        }
        assert!(timers.capacity() <= 2 * KEEP);
        // New storage must not revive old keys.
        for id in 0..1000 {
            timers.arm(SECOND, id);
        }
        assert!(keys.iter().all(|&key| timers.cancel(key).is_none()));
        assert_eq!((timers.len(), timers.cancel(keeper)), (1001, Some(0)));
        timers.check();
    }

    #[test]
    fn timers_left_over_from_a_crowd_move_down_when_armed_again() {
        let mut timers = Timers::new();
        let crowd: Vec<_> = (0..100_000).map(|_| timers.arm(HOUR, 0)).collect();
        let mut periodic: Vec<_> = (1..=10).map(|id| timers.arm(HOUR, id)).collect();
        for key in crowd {
            timers.cancel(key);
        }
        assert!(timers.capacity() >= 100_000);
        for key in &mut periodic {
            let id = timers.cancel(*key).unwrap();
            *key = timers.arm(2 * HOUR, id);
        }
        assert!(timers.capacity() <= 2 * KEEP);
        assert_eq!(drain(&mut timers, 2 * HOUR).len(), 10);
    }

    #[test]
    fn churn_is_bounded() {
        for due in [0, MS, 5 * MS, HOUR] {
            let mut timers = Timers::new();
            timers.arm(HOUR, ());
            let mut key = timers.arm(due, ());
            for _ in 0..20_000 {
                let next = timers.arm(due, ());
                assert_eq!(timers.next_due(), Some(due));
                assert_eq!(timers.cancel(key), Some(()));
                key = next;
            }
            assert_eq!(timers.len(), 2);
            assert!(timers.capacity() <= 16);
            timers.check();
        }
    }
}
