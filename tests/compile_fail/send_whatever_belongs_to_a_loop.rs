//~ E0277 cannot be sent between threads safely
use corio::queue::{Fifo, Reserving, Slot};
use corio::sync::{Reading, Writing};
use corio::testing::{Injector, Sequencer, Step};

fn send<T: Send>() {}

pub fn leave() {
    send::<corio::Mutex<u32>>(); //~
    send::<corio::MutexGuard<'static, u32>>(); //~
    send::<corio::RwLock<u32>>(); //~
    send::<corio::RwLockReadGuard<'static, u32>>(); //~
    send::<corio::RwLockWriteGuard<'static, u32>>(); //~
    send::<Reading<'static, u32>>(); //~
    send::<Writing<'static, u32>>(); //~
    send::<corio::Semaphore>(); //~
    send::<corio::BoundedSemaphore>(); //~
    send::<corio::Permit<'static>>(); //~
    send::<corio::Event>(); //~
    send::<corio::Condvar>(); //~
    send::<corio::Barrier>(); //~
    send::<corio::Queue<u32>>(); //~
    send::<corio::LifoQueue<u32>>(); //~
    send::<corio::PriorityQueue<u32>>(); //~
    send::<Slot<'static, u32, Fifo<u32>>>(); //~
    send::<Reserving<'static, u32>>(); //~
    send::<corio::Promise<u32>>(); //~
    send::<corio::Resolver<u32>>(); //~
    send::<corio::JoinHandle<u32>>(); //~
    send::<corio::ScopedJoinHandle<'static, u32>>(); //~
    send::<corio::Task>(); //~
    send::<&corio::Scope<'static, 'static>>(); //~
    send::<corio::Scope<'static, 'static>>(); //~
    send::<corio::CancelScope>(); //~
    send::<corio::TimerHandle>(); //~
    send::<corio::LocalToken<u32>>(); //~
    send::<corio::Runner>(); //~
    send::<corio::Generator<u32>>(); //~
    send::<&corio::Yielder<(), u32>>(); //~
    send::<Injector>(); //~
    send::<Sequencer>(); //~
    send::<Step<'static>>(); //~
}
