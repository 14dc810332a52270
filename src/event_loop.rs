//! The event loop: a queue of paused functions, and a rule for whose turn it is.
//!
//! ```text
//!        ┌───────────────────────────────────────────────────────┐
//!        ▼                                                       │
//!   1 take in      2 poll                3 fire         4 run    │
//!   what other     the kernel: wait if   the timers     what is  │
//!   threads sent   nothing is ready      that are due   ready ───┘
//! ```
//!
//! One turn is [`EventLoop::run_once`]. User code runs in phase 4 only. What becomes ready during a turn runs in the
//! next, in the order in which it became ready (R15). Phase 2 is left out while there is work and the last poll is only
//! a few dozen resumes ago.
//!
//! A loop belongs to one thread. Code on that thread finds it through a thread-local pointer; all else reaches it
//! through [`LoopHandle`](crate::LoopHandle). No borrow of the loop's state is held while user code runs (R7).
//! Chapter: `docs/book/loop.md`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, ptr};

use crate::callbacks::{Callback, CallbackKey, Callbacks};
use crate::cancel::Frame;
use crate::clock::Clock;
use crate::debug::{Debug, Level};
use crate::failure::{Failure, HandlerSlot, Value, Whose};
use crate::lab::{Lab, Probe};
use crate::observe::Hub;
use crate::observe::event::{By, Event, Place, PollReason, Purpose, Want};
use crate::observe::state::Timer;
use crate::pool::Pool;
use crate::reactor::{Backend, Reactor};
use crate::remote::{Message, Remote};
use crate::signal::SignalHandlers;
use crate::snapshot::Snapshot;
use crate::stack::StackCache;
use crate::strict::{self, Leaving};
use crate::task::body::{drop_quietly, panic_text};
use crate::task::waker::{self, Foreign, Seats};
use crate::task::{Activation, Blocks, Input, Pause, Ready, ReadyQueue, State, Task, TaskCore, TaskRef, TaskTable};
use crate::timer::{Nanos, TimerKey, Timers};

/// How many calls of one turn may go on without a pause before the task goes to the end of the queue.
const BUDGET: u32 = 128;
/// How many resumes may pass between two looks at I/O and timers, if something is ready all the time.
const RESUMES_BETWEEN_POLLS: u32 = 64;

/// How many letters from other threads are taken in before the next look at I/O and timers.
pub(crate) const LETTERS_AT_ONCE: usize = 256;

/// If more than this are ready, the stack of the next one has left the nearest cache since it ran. So it is fetched while the
/// one before it runs.
const CROWD: usize = 48;

/// In the place of `no_suspend`: no region is open, but somebody wants to see each call that may suspend.
const WATCHED: usize = usize::MAX;

/// How far the end of the run has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(crate) enum Phase {
    Running,
    /// The main task is done; all others are cancelled and nothing can be spawned.
    Closing,
    /// The grace is over: shields hold no longer.
    Forcing,
}

/// What a timer does.
pub(crate) enum TimerAction {
    Wake(TaskRef),
    /// To wake somebody in the place of a task.
    Tell(Rc<Foreign>),
    Call(Box<dyn FnOnce()>, Place),
    /// A timeout or a shield. Its guard takes the timer away before the frame goes.
    Frame(*const Frame),
}

impl TimerAction {
    fn purpose(&self) -> Purpose {
        match self {
            TimerAction::Wake(_) | TimerAction::Tell(_) => Purpose::Wake,
            TimerAction::Call(..) => Purpose::Callback,
            // SAFETY: the frame's guard takes the timer away before the frame goes.
            TimerAction::Frame(frame) => unsafe { (**frame).purpose() },
        }
    }
}

/// A switch to a task, or away from it; see [`Runner::on_switch`](crate::Runner::on_switch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// The loop is about to run the task.
    In {
        /// The task's id.
        task: u64,
    },
    /// The task has paused, or ended.
    Out {
        /// The task's id.
        task: u64,
        /// Whether it will not run again.
        ended: bool,
    },
}

/// A function that is told of switches.
pub(crate) type Hook = Rc<dyn Fn(Switch)>;

/// What one turn of the loop came to.
#[derive(PartialEq, Eq)]
pub(crate) enum Turn {
    Done,
    /// Nothing can run, now or ever (R18).
    Stuck,
}

pub(crate) struct EventLoop {
    pub(crate) clock: Clock,
    ready: ReadyQueue,
    timers: RefCell<Timers<TimerAction>>,
    tasks: TaskTable,
    pub(crate) callbacks: Callbacks,
    pub(crate) reactor: Reactor,
    pub(crate) remote: Arc<Remote>,
    pub(crate) stacks: StackCache,
    pub(crate) hub: Hub,
    /// Who is told of failures that nobody took.
    pub(crate) exception_handler: HandlerSlot,
    pub(crate) debug: Debug,
    /// Called at every switch; see [`Switch`].
    hooks: RefCell<Vec<Hook>>,
    /// Who runs, as far as the hooks were told: the last one, and those that started it at once and wait for it.
    told_running: RefCell<Vec<u64>>,
    pub(crate) locals: Locals,
    /// Tasks are spawned without a second thought: the run is not ending, and nobody has used a task-local yet.
    spawns_plainly: Cell<bool>,
    /// The run is to end after this turn.
    stopping: Cell<bool>,
    /// The running task: it points to the reference that lies in the task.
    current: Cell<*const TaskRef>,
    /// In its place, a task without a stack, whose future is polled: nothing there could be paused.
    polling: Cell<*const TaskRef>,
    /// How many polls that took so far.
    polls: Cell<u32>,
    phase: Cell<Phase>,
    resumes_since_poll: Cell<u32>,
    /// What is left of the running task's turn.
    budget: Cell<u32>,
    /// Waits that were refused to the running task because it unwinds.
    pub(crate) refused: Cell<u32>,
    /// On which stack it runs, as [`stack::lowest`] has it.
    own_stack: Cell<usize>,
    last_task: Cell<u64>,
    last_group: Cell<u64>,
    last_coroutine: Cell<u64>,
    last_resource: Cell<u32>,
    /// The tasks that wait for what other threads bring, by their ids.
    pub(crate) employers: RefCell<BTreeMap<u64, TaskRef>>,
    /// How many futures wait for what other threads bring.
    pub(crate) expecting: Cell<usize>,
    /// Runs so far: what was registered in an earlier one is registered no more.
    pub(crate) run: Cell<u64>,
    /// The tasks that poll futures.
    pub(crate) seats: Seats,
    /// How many of them have given work to another thread.
    pub(crate) workers: Cell<usize>,
    /// The threads of `to_thread`, made when they are needed.
    pub(crate) pool: RefCell<Option<Arc<Pool>>>,
    /// Whether they end with the run.
    pub(crate) owns_pool: Cell<bool>,
    /// How long tasks have to end by themselves when the run ends.
    pub(crate) grace: Cell<Duration>,
    /// Where the stack stood when the innermost region was opened in which nothing may suspend; 0 or [`WATCHED`]: none
    /// is open.
    pub(crate) no_suspend: Cell<usize>,
    /// Where it stood when the run began.
    entered_at: Cell<usize>,
    pub(crate) signal_handlers: SignalHandlers,
    pub(crate) lab: Lab,
    pub(crate) blocks: Blocks,
}

thread_local! {
    static CURRENT: Cell<*const EventLoop> = const { Cell::new(ptr::null()) };
}

/// Makes a loop the thread's own until it is dropped.
pub(crate) struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(ptr::null());
    }
}

impl EventLoop {
    pub(crate) fn new(clock: Clock, backend: Option<Backend>) -> io::Result<EventLoop> {
        crate::stack::prepare_thread();
        let reactor = Reactor::new(backend)?;
        let remote = Remote::new(reactor.registrar());
        Ok(EventLoop {
            clock,
            ready: ReadyQueue::new(),
            timers: RefCell::new(Timers::new()),
            tasks: TaskTable::new(),
            callbacks: Callbacks::default(),
            reactor,
            remote,
            stacks: StackCache::new(),
            hub: Hub::new(),
            exception_handler: HandlerSlot::default(),
            debug: Debug::new(),
            hooks: RefCell::default(),
            told_running: RefCell::default(),
            locals: Locals::default(),
            spawns_plainly: Cell::new(true),
            stopping: Cell::new(false),
            current: Cell::new(ptr::null()),
            polling: Cell::new(ptr::null()),
            polls: Cell::new(0),
            phase: Cell::new(Phase::Running),
            resumes_since_poll: Cell::new(0),
            budget: Cell::new(BUDGET),
            refused: Cell::new(0),
            own_stack: Cell::new(0),
            last_task: Cell::new(0),
            last_group: Cell::new(0),
            last_coroutine: Cell::new(0),
            last_resource: Cell::new(0),
            employers: RefCell::default(),
            expecting: Cell::new(0),
            run: Cell::new(0),
            seats: Seats::default(),
            workers: Cell::new(0),
            pool: RefCell::default(),
            owns_pool: Cell::new(false),
            grace: Cell::new(Duration::ZERO),
            no_suspend: Cell::new(0),
            entered_at: Cell::new(0),
            signal_handlers: SignalHandlers::default(),
            lab: Lab::default(),
            blocks: Blocks::new(),
        })
    }

    /// Makes this the thread's loop.
    ///
    /// # Safety
    ///
    /// The loop outlives the guard, and the guard is dropped, not forgotten.
    pub(crate) unsafe fn enter(&self) -> Entered {
        CURRENT.set(self);
        self.entered_at.set(crate::sys::stack_pointer());
        Entered(())
    }

    /// Whether the thread has a loop already.
    pub(crate) fn is_entered() -> bool {
        !CURRENT.get().is_null()
    }

    /// Hands the thread's loop, if it has one, to `f`.
    #[inline(always)]
    pub(crate) fn with_current<R>(f: impl FnOnce(Option<&EventLoop>) -> R) -> R {
        // SAFETY: the pointer is set while `run` is on this thread's stack with the loop in its frame, and `run` does not
        // return while anything that could be suspended in `f` exists (R3).
        f(unsafe { CURRENT.get().as_ref() })
    }

    /// The running task, if it is a task that runs and not a callback.
    #[inline(always)]
    pub(crate) fn current(&self) -> Option<&TaskRef> {
        // SAFETY: set by `step`, while the task runs, to the reference that lies in the task itself. So calls that wait
        // may hold it across their suspension: whichever frame of the loop resumes them, the task is where it was.
        unsafe { self.current.get().as_ref() }
    }

    /// The running task, with a stack or without.
    #[inline]
    pub(crate) fn running(&self) -> Option<&TaskRef> {
        // SAFETY: as in `current`.
        self.current().or_else(|| unsafe { self.polling.get().as_ref() })
    }

    /// From now on the running task is one that is polled.
    pub(crate) fn begin_to_poll(&self, task: &TaskRef) -> impl Drop {
        struct Return<'a>(&'a EventLoop, *const TaskRef, *const TaskRef);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                self.0.current.set(self.1);
                self.0.polling.set(self.2);
            }
        }
        Return(self, self.current.replace(ptr::null()), self.polling.replace(task))
    }

    /// A future is polled.
    #[inline]
    pub(crate) fn count_poll(&self) {
        self.polls.set(self.polls.get().wrapping_add(1)); // nobody asks while there are coroutines only
    }

    /// How many were polled since it was asked last.
    pub(crate) fn take_polls(&self) -> u32 {
        self.polls.take()
    }

    /// What a future that is polled waits for, and where.
    pub(crate) fn say(&self, want: Want, at: Place) {
        if let Some(activation) = self.running().and_then(|task| task.core.activation()) {
            activation.say(want, at);
        }
    }

    /// The id of the running task, or 0.
    #[inline]
    pub(crate) fn current_id(&self) -> u64 {
        self.running().map_or(0, |task| task.core.id())
    }

    /// Who makes something ready now.
    #[inline]
    pub(crate) fn by(&self) -> By {
        match self.running() {
            Some(task) => By::Task(task.core.id()),
            None => By::Loop,
        }
    }

    /// Counts a call that went on without a pause; `false` when the turn has had enough of them.
    #[inline(always)]
    pub(crate) fn spend_budget(&self) -> bool {
        let left = self.budget.get();
        self.budget.set(left.wrapping_sub(1));
        left != 0
    }

    /// Panics inside `no_suspend`.
    #[inline(always)]
    pub(crate) fn assert_may_suspend(&self, at: Place) {
        if self.no_suspend.get() != 0 {
            self.look_at_call(at);
        }
    }

    /// A call that may suspend, where it must not, or where a test or debug mode wants to know.
    #[cold]
    #[inline(never)]
    fn look_at_call(&self, at: Place) {
        assert!(self.no_suspend.get() == WATCHED, "a call that may suspend, at {at}, inside `no_suspend`");
        if self.debug.is_strict()
            && let Some(what) = strict::stands_in(Leaving::Task)
        {
            panic!("a call that may suspend, at {at}, inside {what}");
        }
        self.show_to_the_lab(at);
    }

    /// A call that may suspend, or a future that may pend, where a test may want to know.
    pub(crate) fn show_to_the_lab(&self, at: Place) {
        if self.lab.at_checkpoint(self.current_id(), at) {
            self.budget.set(0);
        }
    }

    pub(crate) fn is_in_the_lab(&self) -> bool {
        self.lab.is_on()
    }

    /// Lets a test decide whose turn it is, or look on.
    pub(crate) fn watch(&self, seed: Option<u64>, probe: Option<Rc<dyn Probe>>) {
        if let Some(seed) = seed {
            self.lab.seed(seed);
        }
        if let Some(probe) = probe {
            self.lab.attach(probe);
        }
        self.no_suspend.set(self.no_region());
    }

    /// What stands in the place of `no_suspend` where no region is open.
    fn no_region(&self) -> usize {
        if self.lab.is_on() || self.debug.is_strict() { WATCHED } else { 0 }
    }

    /// Why a coroutine that is about to yield must not, as far as only debug mode can see.
    #[inline(always)]
    pub(crate) fn strictly_forbidden(&self) -> Option<&'static str> {
        if self.no_suspend.get() != WATCHED || !self.debug.is_strict() {
            return None;
        }
        strict::stands_in(Leaving::Coroutine)
    }

    /// Whether the run, or a region in which nothing may suspend, was begun on that stack: then it cannot be left.
    #[inline(always)]
    pub(crate) fn holds_stack(&self, stack: &std::ops::Range<usize>) -> bool {
        stack.contains(&self.no_suspend.get()) || stack.contains(&self.entered_at.get())
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
        self.spawns_plainly.set(phase == Phase::Running && !self.locals.in_use.get());
    }

    /// Whether `spawn` need not ask if the run is ending or the new task inherits anything.
    #[inline(always)]
    pub(crate) fn spawns_plainly(&self) -> bool {
        self.spawns_plainly.get()
    }

    /// A new run on this loop begins.
    pub(crate) fn open(&self) {
        self.set_phase(Phase::Running);
        self.stopping.set(false);
        self.run.set(self.run.get() + 1);
        // A future that was registered in an earlier run and outlives it takes nothing back.
        self.expecting.set(0);
        self.workers.set(0);
        self.reactor.forget_waiters();
        self.seats.forget_waits();
    }

    /// Ends the run after this turn.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Whether shields have ceased to hold.
    pub(crate) fn forces(&self) -> bool {
        self.phase.get() == Phase::Forcing
    }

    // ---- one turn ---------------------------------------------------------------------------------------------------

    /// One turn of the loop. It sleeps until `latest` at most.
    #[inline(always)]
    // ANCHOR: turn
    pub(crate) fn run_once(&self, latest: Option<Nanos>) -> Turn {
        if self.lab.is_on() {
            self.lab.look();
        }

        // 1 Take in what other threads sent.
        if self.remote.has_news() {
            self.take_in();
        }

        // 2 Poll: wait if nothing is ready, look if the last look is long ago. 3 Fire the timers that are due.
        if self.ready.is_empty() {
            // Batch after batch, with a look in between: it keeps nobody waiting, and is done before a long sleep.
            if self.stacks.trim() {
                self.look();
            } else if !self.sleep(latest) {
                return Turn::Stuck;
            }
        } else if self.resumes_since_poll.get() >= RESUMES_BETWEEN_POLLS {
            self.look();
        }

        // 4 Run what is ready now. What becomes ready meanwhile runs in the next turn.
        let generation = if self.lab.is_on() { self.begin_turn_of_a_test() } else { self.ready.len() };
        for _ in 0..generation {
            let ready = self.ready.pop();
            if generation > CROWD {
                self.ready.fetch_ahead();
            }
            match ready {
                Some(Ready::Task(task)) => self.take_turn(task),
                Some(Ready::Call(callback)) => self.call(callback),
                None => {}
            }
        }
        Turn::Done
    }
    // ANCHOR_END: turn

    /// Resumes a task that stood in the queue, unless it has ended there.
    #[inline(always)]
    fn take_turn(&self, task: TaskRef) {
        if task.core.state() != State::Ready {
            return;
        }
        if self.is_told() {
            self.take_turn_and_tell(task);
        } else {
            self.step_as::<false>(task, Input::Go);
        }
    }

    #[cold]
    #[inline(never)]
    fn take_turn_and_tell(&self, task: TaskRef) {
        self.step_as::<true>(task, Input::Go);
        self.flush();
    }

    /// How many steps to take before a test looks again. At the begin of a turn its seed puts the tasks into another
    /// order; callbacks stay where they are.
    #[cold]
    #[inline(never)]
    fn begin_turn_of_a_test(&self) -> usize {
        self.lab.look();
        let (steps, order) = self.lab.turn(self.ready_len());
        // ANCHOR: shuffle
        if let Some(order) = order {
            let with = order.state();
            let tasks = self.ready.reorder(|n, swap| order.exchanges(n, swap));
            if tasks > 1 {
                self.emit(|| Event::Shuffle { with });
            }
        }
        // ANCHOR_END: shuffle
        steps
    }

    /// The same, whenever it is.
    #[inline(always)]
    fn step(&self, task: TaskRef, input: Input) {
        if self.is_told() { self.step_as::<true>(task, input) } else { self.step_as::<false>(task, input) }
    }

    /// Resumes a task until it pauses or ends: the only place where a task is sent anything. It is `TOLD`, or it is not: one
    /// look for the whole step is all that those pay whom nobody watches.
    #[inline(always)]
    fn step_as<const TOLD: bool>(&self, task: TaskRef, input: Input) {
        let core = &task.core;
        let Some(activation) = core.activation().or_else(|| self.begin(&task, input)) else { return };
        core.set_state(State::Running);
        core.take_notified();
        if TOLD {
            self.tell_resume(core, input);
        }
        self.budget.set(BUDGET);
        self.refused.set(0);
        self.resumes_since_poll.set(self.resumes_since_poll.get().wrapping_add(1));
        // ANCHOR: step
        let outer = self.current.replace(activation.task());

        let sent = activation.send(input);

        self.current.set(outer);
        match sent {
            // Python's `yield`: it says what it waits for.
            Some(Pause::Turn) => {
                if TOLD {
                    self.tell_turn(core);
                }
                core.set_state(State::Ready);
                self.ready.push(task);
            }
            Some(Pause::Parked) => {
                if TOLD {
                    self.record(core.paused(self));
                }
                core.set_state(State::Parked);
                if core.take_notified() {
                    self.wake(&task, By::Itself);
                }
            }
            // Python's `StopIteration`.
            None => self.complete(&task),
        }
        // ANCHOR_END: step
    }

    /// Puts a task onto a stack for its first turn; `None` if it was cancelled before, and so never runs.
    #[inline(never)]
    fn begin<'a>(&self, task: &'a TaskRef, input: Input) -> Option<&'a Activation> {
        if task.core.is_cancelled() || input == Input::Throw {
            self.refuse(task);
            return None;
        }
        Some(TaskCore::activate(task, self))
    }

    #[cold]
    #[inline(never)]
    fn refuse(&self, task: &TaskRef) {
        self.aside(|| task.body().refuse(&task.core));
        self.complete(task);
    }

    /// A run begins, on this stack.
    pub(crate) fn settle(&self) {
        self.own_stack.set(crate::stack::lowest(crate::sys::stack_pointer()));
    }

    /// Tells the observers at once, on the loop's own stack: who steps through a run that is under way stops here, and whoever
    /// asks from outside while this task blocks the loop finds it running.
    #[inline(never)]
    fn tell_resume(&self, core: &TaskCore, input: Input) {
        self.record(Event::Resume { task: core.id(), sent: core.sent(input), nth: core.resumes() + 1 });
        if self.current.get().is_null() && crate::stack::lowest(crate::sys::stack_pointer()) == self.own_stack.get() {
            self.hub.flush_within_a_step();
        }
    }

    #[inline(always)]
    fn emit_wake(&self, task: &TaskRef, by: By) {
        self.emit(move || {
            task.core.note_wake(by);
            Event::Wake { task: task.core.id(), by }
        });
    }

    /// A task has paused for others, and is ready at once.
    #[inline(never)]
    fn tell_turn(&self, core: &TaskCore) {
        self.record(core.paused(self));
        self.record(Event::Wake { task: core.id(), by: By::Itself });
    }

    /// The task's function has returned, or will never run.
    #[inline(always)]
    fn complete(&self, task: &TaskRef) {
        let core = &task.core;
        if core.is_active() {
            core.deactivate(self);
        } else if core.stack_size.is_some() {
            self.stacks.unreserve(core.stack_size);
        }
        core.set_state(State::Done);
        self.emit(move || Event::Complete { task: core.id(), end: core.end() });
        let removed = self.tasks.remove(task);
        if !core.joiners.is_empty() {
            core.joiners.notify_all(self, By::Task(core.id()));
        }
        if core.has_rare() {
            self.end_rare(task);
        }
        // The scope it belongs to counts it as gone only now (R2).
        // SAFETY: the group outlives its children; this one is counted until the call below.
        if let Some(group) = unsafe { core.group.get().as_ref() } {
            group.gone(self, core);
            core.group.set(ptr::null());
        }
        drop(removed);
    }

    /// What few tasks have: callbacks to be scheduled, and task-locals to be dropped.
    #[cold]
    #[inline(never)]
    fn end_rare(&self, task: &TaskRef) {
        let core = &task.core;
        for (callback, at) in core.take_on_done() {
            let done = Task { cell: task.clone() };
            self.call_soon(Box::new(move || callback(&done)), at);
        }
        let ended = core.take_locals();
        let is_main = core.id() == self.locals.main.get();
        self.drop_locals(if is_main { self.locals.kept.replace(ended) } else { ended });
    }

    /// Calls a callback. A panic of it is logged: the loop goes on.
    fn call(&self, key: CallbackKey) {
        let Some(Callback { function, at, .. }) = self.callbacks.take(key) else { return };
        self.emit(move || Event::Callback { at });
        self.resumes_since_poll.set(self.resumes_since_poll.get().wrapping_add(1));
        if let Err(payload) = catch_unwind(AssertUnwindSafe(function)) {
            let text = panic_text(&*payload);
            self.report(&Failure { whose: Whose::Callback, at, text, value: Value::Panic(&*payload) });
            drop_quietly(payload, "the payload of a panic");
        }
        if self.debug.is_on() {
            self.debug.callback_is_over();
        }
        if self.locals.in_use.get() {
            self.locals.callbacks.set(self.locals.callbacks() + 1);
            self.drop_locals(self.locals.ambient.take());
        }
        self.flush();
    }

    /// Tells the exception handler, or the log, of a failure that nobody took. The handler may not suspend: it may stand
    /// on the last frame of a task that has ended.
    pub(crate) fn report(&self, failure: &Failure<'_>) {
        let Some(handler) = self.exception_handler.get() else { return failure.log() };
        let outer = self.no_suspend.replace(crate::sys::stack_pointer());
        let told = catch_unwind(AssertUnwindSafe(|| handler(failure)));
        self.no_suspend.set(outer);
        if let Err(payload) = told {
            log::error!(target: "corio::loop",
                "the exception handler panicked: {}; it was told: {failure}", panic_text(&*payload));
            drop_quietly(payload, "the payload of a panic");
        }
        drop_quietly(handler, "an exception handler");
    }

    // ---- task-locals ------------------------------------------------------------------------------------------------

    /// The task-locals of whoever runs: of the task, or of the callback.
    pub(crate) fn locals(&self) -> Snapshot {
        match self.running() {
            Some(task) => task.core.locals(),
            None => copy(&self.locals.ambient),
        }
    }

    /// Changes them; `f` runs no user code.
    pub(crate) fn update_locals<R>(&self, f: impl FnOnce(&mut Snapshot) -> R) -> R {
        if !self.locals.in_use.replace(true) {
            self.set_phase(self.phase());
        }
        match self.running() {
            Some(task) => task.core.update_locals(f),
            None => {
                let mut values = self.locals.ambient.take();
                let result = f(&mut values);
                self.locals.ambient.set(values);
                result
            }
        }
    }

    /// What a callback that is scheduled now will see; `None`: nothing.
    #[inline]
    pub(crate) fn locals_for_a_callback(&self) -> Option<Snapshot> {
        if self.locals.in_use.get() { Some(self.locals()).filter(|values| !values.is_empty()) } else { None }
    }

    /// Drops the task-locals of what has ended. Their destructors run outside any task.
    fn drop_locals(&self, locals: Snapshot) {
        if !locals.is_empty() {
            self.aside(|| drop_values(locals));
        }
    }

    /// A callback that sees the task-locals of whoever schedules it.
    #[inline]
    pub(crate) fn bind(&self, f: impl FnOnce() + 'static) -> Box<dyn FnOnce()> {
        match self.locals_for_a_callback() {
            None => Box::new(f),
            Some(locals) => Box::new(move || {
                adopt(locals);
                f();
            }),
        }
    }

    /// Lets user code run that belongs to no task: hooks, and destructors of what the loop gives up. It cannot wait. It may
    /// stand on the stack of a coroutine, which cannot be left meanwhile (R6). The task-locals that it sets end with it.
    pub(crate) fn aside<R>(&self, f: impl FnOnce() -> R) -> R {
        /// However it ends.
        struct Return<'a> {
            lp: &'a EventLoop,
            task: *const TaskRef,
            polling: *const TaskRef,
            region: usize,
            locals: Snapshot,
        }
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                const ROUNDS: usize = 16;
                let lp = self.lp;
                let mut rest = lp.locals.ambient.take();
                for _ in 0..ROUNDS {
                    if rest.is_empty() {
                        break;
                    }
                    drop_values(rest);
                    rest = lp.locals.ambient.take();
                }
                // A destructor that sets its own variable again and again has lost its right to be called.
                std::mem::forget(rest);
                lp.locals.ambient.set(std::mem::take(&mut self.locals));
                lp.no_suspend.set(self.region);
                lp.current.set(self.task);
                lp.polling.set(self.polling);
            }
        }
        let _return = Return {
            lp: self,
            task: self.current.replace(ptr::null()),
            polling: self.polling.replace(ptr::null()),
            region: self.no_suspend.replace(crate::sys::stack_pointer()),
            locals: self.locals.ambient.take(),
        };
        f()
    }

    // ---- the ready queue --------------------------------------------------------------------------------------------

    /// Makes a parked task ready. One that is ready stays where it is in the queue; one that runs will look again.
    pub(crate) fn wake(&self, task: &TaskRef, by: By) {
        match task.core.state() {
            State::Parked => {
                task.core.set_state(State::Ready);
                self.emit_wake(task, by);
                self.ready.push(task.clone());
            }
            State::Running => task.core.notify(),
            State::Ready => self.note_wake(task, by),
            State::Done => {}
        }
    }

    /// The task begins to wait for what others may bring, from any thread. A task waits in one place at a time, so one entry
    /// is enough, also if it waits for several things there.
    pub(crate) fn begin_to_expect(&self, task: &TaskRef) {
        self.employers.borrow_mut().insert(task.core.id(), task.clone());
    }

    /// That wait is over.
    pub(crate) fn expect_no_more(&self, task: &TaskRef) {
        let entry = self.employers.borrow_mut().remove(&task.core.id());
        drop(entry);
    }

    /// Wakes a task that waited for another thread, and perhaps does no more.
    pub(crate) fn wake_employer(&self, id: u64, by: By) {
        let task = self.employers.borrow().get(&id).cloned();
        if let Some(task) = task {
            self.wake(&task, by);
        }
    }

    /// A task that may be gone by now.
    pub(crate) fn find(&self, id: u64) -> Option<TaskRef> {
        self.all_tasks().into_iter().find(|task| task.core.id() == id)
    }

    /// Calls `function` in the next turn.
    #[inline]
    pub(crate) fn call_soon(&self, function: Box<dyn FnOnce()>, at: Place) -> CallbackKey {
        let callback = self.callbacks.add(function, at, None);
        self.ready.push_call(callback);
        callback
    }

    /// How many tasks and callbacks are ready.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// The ids of the tasks that are ready, in order.
    pub(crate) fn ready_ids(&self) -> Vec<u64> {
        self.ready.tasks().filter(|task| task.core.state() == State::Ready).map(|task| task.core.id()).collect()
    }

    // ---- the task table ---------------------------------------------------------------------------------------------

    #[inline]
    pub(crate) fn next_task_id(&self) -> u64 {
        next(&self.last_task)
    }

    pub(crate) fn next_group_id(&self) -> u64 {
        next(&self.last_group)
    }

    pub(crate) fn next_coroutine_id(&self) -> u64 {
        next(&self.last_coroutine)
    }

    pub(crate) fn next_resource_id(&self) -> u32 {
        self.last_resource.set(self.last_resource.get().wrapping_add(1));
        self.last_resource.get()
    }

    /// A new task: into the table and the ready queue.
    #[inline]
    pub(crate) fn admit(&self, task: &TaskRef) {
        self.tasks.insert(task.clone());
        self.ready.push(task.clone());
    }

    /// The same, for one that `start_now` will run: it stands in no queue.
    pub(crate) fn admit_to_run_now(&self, task: &TaskRef) {
        self.tasks.insert(task.clone());
    }

    /// Runs a new task up to its first pause, on top of whoever spawns it. That one's turn is put aside meanwhile, and what
    /// it may not do: the new task suspends on a stack of its own.
    pub(crate) fn start_now(&self, task: &TaskRef) {
        let (budget, refused, no_suspend) = (self.budget.get(), self.refused.get(), self.no_suspend.get());
        self.no_suspend.set(self.no_region());
        self.step(task.clone(), Input::Go);
        self.no_suspend.set(no_suspend);
        self.refused.set(refused);
        self.budget.set(budget);
    }

    /// All tasks that have not ended, oldest first.
    pub(crate) fn all_tasks(&self) -> Vec<TaskRef> {
        self.tasks.all()
    }

    pub(crate) fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Ends a task that would not end by itself: throws [`Shutdown`](crate::Shutdown) from its wait, again and again if
    /// it catches that, a bounded number of times. Returning without having ended it would be use after free, so the
    /// process ends then, and says whose fault it is (R3).
    pub(crate) fn end_by_force(&self, task: &TaskRef) {
        const THROWS: u32 = 100;
        while task.core.state() != State::Done {
            if task.core.state() == State::Running {
                crate::fatal(format_args!("{task} must end before the task that runs on top of it"));
            }
            if cfg!(panic = "abort") && task.core.is_active() {
                crate::fatal(format_args!(
                    "{task} did not end in the grace of the shutdown, and a program built with panic = \"abort\" \
                     cannot unwind it; it waits at {}",
                    Waits(task)
                ));
            }
            if task.core.count_throw() > THROWS {
                crate::fatal(format_args!(
                    "{task} caught the shutdown's payload {THROWS} times and would not end; it waits at {}; \
                     code that catches every panic must pass `corio::Shutdown` on",
                    Waits(task)
                ));
            }
            log::debug!(target: "corio::run", "throwing through {task}, which waits at {}", Waits(task));
            self.step(task.clone(), Input::Throw);
        }
    }

    // ---- time -------------------------------------------------------------------------------------------------------

    #[inline]
    pub(crate) fn arm_timer(&self, due: Nanos, action: TimerAction, task: u64) -> TimerKey {
        let purpose = action.purpose();
        let key = self.timers.borrow_mut().arm(due, action);
        self.emit(move || Event::TimerArm { timer: key.id(), task, due, purpose });
        key
    }

    /// Gives a timer up; `None` if it has fired.
    #[inline]
    pub(crate) fn drop_timer(&self, key: TimerKey) -> Option<TimerAction> {
        let action = self.timers.borrow_mut().cancel(key);
        if action.is_some() {
            self.emit(move || Event::TimerDrop { timer: key.id() });
        }
        action
    }

    pub(crate) fn timer_due(&self, key: TimerKey) -> Option<Nanos> {
        self.timers.borrow().due(key)
    }

    #[inline]
    pub(crate) fn call_at(&self, due: Nanos, function: Box<dyn FnOnce()>, at: Place) -> TimerKey {
        self.arm_timer(due, TimerAction::Call(function, at), 0)
    }

    /// The callbacks that wait for their time: when they are due, and where they were scheduled.
    pub(crate) fn scheduled(&self) -> Vec<(Nanos, Place)> {
        let timers = self.timers.borrow();
        let callback = |(_, due, action): (TimerKey, Nanos, &TimerAction)| match action {
            TimerAction::Call(_, at) => Some((due, *at)),
            _ => None,
        };
        timers.iter().filter_map(callback).collect()
    }

    /// The timers that are set, for pictures of the loop.
    pub(crate) fn timers(&self) -> BTreeMap<u64, Timer> {
        let timer = |(key, due, action): (TimerKey, Nanos, &TimerAction)| {
            let task = match action {
                TimerAction::Wake(task) => task.core.id(),
                TimerAction::Tell(foreign) => foreign.task.core.id(),
                TimerAction::Call(..) => 0,
                // SAFETY: the frame's guard takes the timer away before the frame goes.
                TimerAction::Frame(frame) => unsafe { (**frame).task_id() },
            };
            (key.id(), Timer { due, task, purpose: action.purpose() })
        };
        self.timers.borrow().iter().map(timer).collect()
    }

    pub(crate) fn next_timer(&self) -> Option<Nanos> {
        self.timers.borrow_mut().next_due()
    }

    /// Drops the callbacks that will never be called; `false` if there were none.
    pub(crate) fn drop_callbacks(&self) -> bool {
        self.ready.clear();
        let timers: Vec<TimerKey> = self.timers.borrow().iter().map(|(key, ..)| key).collect();
        let callbacks = self.callbacks.take_all();
        let found = !timers.is_empty() || !callbacks.is_empty();
        for timer in timers {
            drop_quietly(self.drop_timer(timer), "a callback that was never called");
        }
        for callback in callbacks {
            drop_quietly(callback, "a callback that was never called");
        }
        found
    }

    /// Drops what other threads sent too late for this run, the oldest first.
    pub(crate) fn drop_letters(&self, at_most: usize) {
        for message in self.remote.take(at_most) {
            match message {
                Message::Freed(token) => self.reactor.free(self, token),
                letter => drop_quietly(letter, "a call from another thread that came too late"),
            }
        }
    }

    /// Waits for what other threads send; `false` when the deadline is past.
    pub(crate) fn wait_for_letters(&self, deadline: Option<Instant>) -> bool {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return false;
        }
        self.receive_visitor();
        let timeout = if self.remote.about_to_sleep() { Some(Duration::ZERO) } else { left };
        self.reactor.poll(timeout, self);
        self.remote.awake();
        true
    }

    fn fire_timers(&self) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let now = self.clock.now();
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            let Some((key, _, action)) = due else { break };
            self.emit(move || Event::TimerFire { timer: key.id() });
            match action {
                TimerAction::Wake(task) => self.wake(&task, By::Timer(key.id())),
                TimerAction::Tell(foreign) => foreign.tell(self),
                TimerAction::Call(function, at) => {
                    let callback = self.callbacks.add(function, at, Some(key));
                    self.ready.push_call(callback);
                }
                // SAFETY: the frame's guard cancels its timer before the frame goes, and this one was armed until now.
                TimerAction::Frame(frame) => unsafe { (*frame).expire(self) },
            }
        }
    }

    // ---- I/O --------------------------------------------------------------------------------------------------------

    /// Waits until something can become ready, or until `latest`; `false` if nothing ever can.
    fn sleep(&self, latest: Option<Nanos>) -> bool {
        self.receive_visitor();
        let (timer, news) = (self.next_timer(), self.reactor.next_news());
        let next = earlier(timer, news);
        if next.is_none() && !self.has_outside_hope() {
            return false;
        }
        let until = earlier(next, latest);
        let timeout = until.map(|until| until.saturating_sub(self.clock.now()));
        let why = match until {
            None => PollReason::Nothing,
            _ if until == timer => PollReason::Timer,
            _ if until == news => PollReason::Network,
            _ => PollReason::Grace,
        };
        // ANCHOR: jump
        match until {
            Some(until) if self.clock.is_virtual() && !self.holds_time() => {
                self.emit(move || Event::PollEnter { timeout, why });
                self.clock.advance_to(until);
                let events = self.reactor.network().map_or(0, |_| self.reactor.poll(Some(Duration::ZERO), self));
                self.emit(move || Event::PollReturn { events });
                self.fire_timers();
                self.flush();
            }
            _ => self.poll(until, timeout, why),
        }
        // ANCHOR_END: jump
        true
    }

    /// Whether something outside the loop could make a task ready: what the program waits for, not what the loop keeps
    /// for itself (R18).
    fn has_outside_hope(&self) -> bool {
        self.holds_time()
            || !self.employers.borrow().is_empty()
            || self.expecting.get() > 0
            || self.seats.any_lent()
            || self.remote.has_lent()
    }

    /// The part of that for which a virtual clock waits. For a task at a channel it does not: whether another thread has
    /// the other end, nobody can tell.
    fn holds_time(&self) -> bool {
        // Where time passes, a sleep that is longer than all time is a sleep, and no deadlock.
        let sleeps_for_ever = !self.clock.is_virtual() && !self.timers.borrow().is_empty();
        self.reactor.waits_for_the_world()
            || self.workers.get() > 0
            || self.remote.has_handles()
            || self.remote.has_news()
            || sleeps_for_ever
    }

    /// Looks whether I/O or timers have made something ready, while there is work to do. If no task waits for I/O, the
    /// kernel has nothing to tell: what other threads send is seen in the inbox.
    #[inline(never)]
    fn look(&self) {
        self.receive_visitor();
        if self.reactor.waiters() > 0 {
            self.poll(None, Some(0), PollReason::Ready);
        } else {
            self.resumes_since_poll.set(0);
            self.fire_timers();
        }
    }

    /// Waits for news for as long as `timeout` says, which is at `until`, if it is more than a look.
    fn poll(&self, until: Option<Nanos>, timeout: Option<Nanos>, why: PollReason) {
        self.resumes_since_poll.set(0);
        self.emit(move || Event::PollEnter { timeout, why });
        let may_sleep = timeout != Some(0);
        let mut left = timeout;
        let events = loop {
            let events = self.wait_for_news(left, may_sleep);
            if events > 0 || !may_sleep {
                break events;
            }
            self.receive_visitor();
            if !self.may_wait_on(until) {
                break 0;
            }
            left = until.map(|until| until.saturating_sub(self.clock.now()));
        };
        self.emit(move || Event::PollReturn { events });
        self.fire_timers();
        self.flush();
    }

    /// Whether a poll that has brought nothing goes on, because nothing has changed: a signal came, which whoever listens for
    /// learns by letter, or somebody who only looks. From what the loop does, nobody shall see that they were there.
    fn may_wait_on(&self, until: Option<Nanos>) -> bool {
        let is_early = until.is_none_or(|until| self.clock.now() < until);
        let is_next = self.reactor.next_news().is_none_or(|news| until.is_some_and(|until| until <= news));
        is_early && !self.remote.has_news() && is_next && self.has_reason_to_wait(until)
    }

    /// Whether somebody is waited for. Where the clock is not virtual, the time is reason enough.
    fn has_reason_to_wait(&self, limit: Option<Nanos>) -> bool {
        match limit {
            None => self.has_outside_hope(),
            Some(_) => !self.clock.is_virtual() || self.holds_time(),
        }
    }

    /// Returns how many pieces there were.
    #[inline]
    fn wait_for_news(&self, timeout: Option<Nanos>, may_sleep: bool) -> u32 {
        // From here on another thread must ring; what it sent before is seen now, and whether it has left.
        let must_look = may_sleep && (self.remote.about_to_sleep() || !self.has_reason_to_wait(timeout));
        let timeout = if must_look { Some(0) } else { timeout };
        // A virtual clock has to be told how much time a real wait took.
        let before = self.clock.is_virtual().then(std::time::Instant::now);
        let events = self.reactor.poll(timeout.map(Duration::from_nanos), self);
        if may_sleep {
            self.remote.awake();
        }
        if let Some(before) = before.filter(|_| may_sleep) {
            let passed = crate::clock::nanos(before.elapsed());
            let step = timeout.map_or(passed, |limit| passed.min(limit));
            self.clock.advance_to(self.clock.now().saturating_add(step));
        }
        events
    }

    /// Lets somebody look who has come to look: nobody runs, and nothing of the loop is borrowed.
    #[inline]
    fn receive_visitor(&self) {
        if self.remote.has_visitor()
            && let Some(visit) = self.remote.take_visitor()
        {
            visit(self);
        }
    }

    /// Phase 1: what other threads have sent. Not all of it, if it is much: I/O and timers have their turn in between.
    fn take_in(&self) {
        for message in self.remote.take(LETTERS_AT_ONCE) {
            match message {
                Message::Call(function, at) => {
                    self.ready.push_call(self.callbacks.add(function, at, None));
                }
                Message::Wake(task) => self.wake_employer(task, By::Thread),
                Message::WakeSeat(number) => waker::wake_seat(self, number, By::Thread),
                Message::Freed(token) => self.reactor.free(self, token),
            }
        }
        // Last: what these put off is news again.
        self.seats.tell_who_is_due(self);
    }

    // ---- the event stream -------------------------------------------------------------------------------------------

    /// Whether somebody is told what happens.
    #[inline(always)]
    pub(crate) fn is_told(&self) -> bool {
        cfg!(feature = "observe") && self.hub.is_on()
    }

    /// Tells them, if so: otherwise one branch that is never taken.
    #[inline(always)]
    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if self.is_told() {
            self.record(event());
        }
    }

    /// Tells them a task's name.
    #[inline(always)]
    pub(crate) fn emit_name(&self, task: &TaskCore) {
        if self.is_told() {
            crate::observe::named(task);
        }
    }

    #[cold]
    #[inline(never)]
    fn record(&self, event: Event) {
        if self.debug.is_on() {
            self.debug.see(&event);
        }
        if self.hub.is_observed() {
            self.hub.push(self.clock.now(), event);
        }
        if !self.hooks.borrow().is_empty() {
            self.tell_switch(&event);
        }
    }

    /// Whether debug mode is on here: on the thread's loop, or by the environment.
    pub(crate) fn is_debug() -> bool {
        EventLoop::with_current(|lp| lp.map_or_else(|| crate::debug::wanted() > Level::Off, |lp| lp.debug.is_on()))
    }

    /// Turns debug mode on or off.
    pub(crate) fn set_debug(&self, level: Level) {
        let on = level > Level::Off;
        if on && !self.debug.is_on() {
            for task in self.all_tasks() {
                let core = &task.core;
                self.debug.know(core.id(), core.name(), core.spawned_at(), core.waits().map(|(_, at)| at));
            }
        }
        if on {
            self.debug.start(level);
        } else {
            self.debug.stop();
        }
        // A region that is open stays open.
        if matches!(self.no_suspend.get(), 0 | WATCHED) {
            self.no_suspend.set(self.no_region());
        }
        self.hub.set_overheard(on || !self.hooks.borrow().is_empty());
    }

    /// Calls `hook` at every switch from now on.
    pub(crate) fn add_hook(&self, hook: Hook) {
        self.hooks.borrow_mut().push(hook);
        self.hub.set_overheard(true);
    }

    /// Tells the hooks of a switch, if this is one. They stand between two stacks, so they may not suspend.
    fn tell_switch(&self, event: &Event) {
        let switches = match *event {
            Event::Resume { task, .. } => {
                let mut running = self.told_running.borrow_mut();
                let below = running.last().map(|task| Switch::Out { task: *task, ended: false });
                running.push(task);
                [below, Some(Switch::In { task })]
            }
            Event::Yield { task, .. } | Event::Complete { task, .. } => {
                let mut running = self.told_running.borrow_mut();
                // A task that was cancelled before its first turn was never switched to.
                if running.pop_if(|running| *running == task).is_none() {
                    return;
                }
                let ended = matches!(event, Event::Complete { .. });
                [Some(Switch::Out { task, ended }), running.last().map(|task| Switch::In { task: *task })]
            }
            _ => return,
        };
        let hooks = self.hooks.borrow().clone();
        self.aside(|| {
            for switch in switches.into_iter().flatten() {
                for hook in &hooks {
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(switch))) {
                        log::error!(target: "corio::loop", "a hook of `on_switch` panicked: {}", panic_text(&*payload));
                        drop_quietly(payload, "the payload of a panic");
                    }
                }
            }
        });
    }

    /// Hands what was recorded to the observers, and lets those look who want to. Only on the loop's own stack: an observer may
    /// need a large one.
    #[inline(always)]
    pub(crate) fn flush(&self) {
        if self.is_told() && self.current.get().is_null() {
            self.hub.flush(self);
            self.receive_visitor(); // the turn may be long, though each step is short
        }
    }
}

/// What a loop keeps of task-locals, besides those of its tasks.
#[derive(Default)]
pub(crate) struct Locals {
    /// Somebody has set one on this loop.
    in_use: Cell<bool>,
    /// Those of the callback that runs.
    ambient: Cell<Snapshot>,
    /// How many callbacks were called since: tells one from the other.
    callbacks: Cell<u64>,
    /// The main task, and its values from one run to the next.
    main: Cell<u64>,
    kept: Cell<Snapshot>,
}

impl Locals {
    pub(crate) fn callbacks(&self) -> u64 {
        self.callbacks.get()
    }

    /// What the first main task begins with.
    pub(crate) fn begin_with(&self, values: Snapshot) {
        self.in_use.set(!values.is_empty());
        self.kept.set(values);
    }

    /// A main task begins, with what the last one left.
    pub(crate) fn hand_to_main(&self, main: &TaskCore) {
        self.main.set(main.id());
        main.set_locals(copy(&self.kept));
    }

    pub(crate) fn take_kept(&self) -> Snapshot {
        self.kept.take()
    }
}

/// Drops task-locals, those that were set first last.
fn drop_values(values: Snapshot) {
    for value in values.into_values() {
        drop_quietly(value, "a task-local");
    }
}

fn copy(place: &Cell<Snapshot>) -> Snapshot {
    let values = place.take();
    place.set(values.clone());
    values
}

/// The same as [`EventLoop::bind`], for a callback that is handed what it waited for.
pub(crate) fn bound<A: ?Sized>(f: impl FnOnce(&A) + 'static) -> Box<dyn FnOnce(&A)> {
    match EventLoop::with_current(|lp| lp.and_then(EventLoop::locals_for_a_callback)) {
        None => Box::new(f),
        Some(locals) => Box::new(move |argument| {
            adopt(locals);
            f(argument);
        }),
    }
}

/// The callback that runs now sees these task-locals, until it is over.
pub(crate) fn adopt(locals: Snapshot) {
    EventLoop::with_current(|lp| {
        if let Some(lp) = lp {
            drop(lp.locals.ambient.replace(locals));
        }
    });
}

fn earlier(one: Option<Nanos>, other: Option<Nanos>) -> Option<Nanos> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[inline]
fn next(counter: &Cell<u64>) -> u64 {
    counter.set(counter.get() + 1);
    counter.get()
}

/// Where a task waits, for messages.
struct Waits<'a>(&'a TaskRef);

impl std::fmt::Display for Waits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.core.waits() {
            Some((_, at)) => write!(f, "{at}"),
            None => f.write_str("its beginning"),
        }
    }
}
