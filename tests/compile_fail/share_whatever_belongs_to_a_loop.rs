//~ E0277 cannot be shared between threads safely
use corio::queue::{Fifo, Reserving, Slot};
use corio::sync::{Reading, Writing};
use corio::testing::{Injector, Sequencer, Step};

fn share<T: Sync>() {}

pub fn leave() {
    share::<corio::Mutex<u32>>(); //~
    share::<corio::MutexGuard<'static, u32>>(); //~
    share::<corio::RwLock<u32>>(); //~
    share::<corio::RwLockReadGuard<'static, u32>>(); //~
    share::<corio::RwLockWriteGuard<'static, u32>>(); //~
    share::<Reading<'static, u32>>(); //~
    share::<Writing<'static, u32>>(); //~
    share::<corio::Semaphore>(); //~
    share::<corio::BoundedSemaphore>(); //~
    share::<corio::Permit<'static>>(); //~
    share::<corio::Event>(); //~
    share::<corio::Condvar>(); //~
    share::<corio::Barrier>(); //~
    share::<corio::Queue<u32>>(); //~
    share::<corio::LifoQueue<u32>>(); //~
    share::<corio::PriorityQueue<u32>>(); //~
    share::<Slot<'static, u32, Fifo<u32>>>(); //~
    share::<Reserving<'static, u32>>(); //~
    share::<corio::Promise<u32>>(); //~
    share::<corio::Resolver<u32>>(); //~
    share::<corio::JoinHandle<u32>>(); //~
    share::<corio::ScopedJoinHandle<'static, u32>>(); //~
    share::<corio::Task>(); //~
    share::<&corio::Scope<'static, 'static>>(); //~
    share::<corio::Scope<'static, 'static>>(); //~
    share::<corio::CancelScope>(); //~
    share::<corio::TimerHandle>(); //~
    share::<corio::LocalToken<u32>>(); //~
    share::<corio::Runner>(); //~
    share::<corio::Generator<u32>>(); //~
    share::<&corio::Yielder<(), u32>>(); //~
    share::<Injector>(); //~
    share::<Sequencer>(); //~
    share::<Step<'static>>(); //~
}
