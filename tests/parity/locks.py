"""Locks, events, conditions, semaphores and barriers."""

import asyncio
from asyncio import CancelledError, create_task, gather, sleep

from harness import Failure, kind, say, yes


async def one_at_a_time():
    async def section(name):
        async with lock:
            say(name, "is in")
            await sleep(1)
            say(name, "is out")

    lock = asyncio.Lock()
    await gather(section("a"), section("b"), section("c"))


async def locked_or_not():
    lock = asyncio.Lock()
    say(yes(lock.locked()))
    async with lock:
        say(yes(lock.locked()))
    say(yes(lock.locked()))


async def nobody_overtakes():
    async def first():
        async with lock:
            await sleep(1)
        say("first has unlocked")
        async with lock:
            say("first again")

    async def second():
        async with lock:
            say("second")

    lock = asyncio.Lock()
    await gather(first(), second())


async def turns_are_fair():
    async def child(name):
        for n in range(3):
            async with lock:
                say(name, n)
                await sleep(0)

    lock = asyncio.Lock()
    await gather(child("a"), child("b"), child("c"))


async def an_error_unlocks():
    async def failing():
        async with lock:
            await sleep(1)
            raise Failure("boom")

    async def next_one():
        async with lock:
            say("the next one is in")

    lock = asyncio.Lock()
    first, second = create_task(failing()), create_task(next_one())
    try:
        await first
    except Failure as error:
        say(kind(error))
    await second


async def a_cancelled_waiter_is_left_out():
    async def child(name):
        async with lock:
            say(name, "is in")
            await sleep(2)

    lock = asyncio.Lock()
    a, b, c = [create_task(child(name)) for name in "abc"]
    await sleep(1)
    b.cancel()
    await asyncio.wait([a, b, c])
    say("b cancelled:", yes(b.cancelled()), "locked:", yes(lock.locked()))


async def the_holder_is_cancelled():
    async def child(name):
        async with lock:
            say(name, "is in")
            await sleep(5)

    lock = asyncio.Lock()
    a, b = create_task(child("a")), create_task(child("b"))
    await sleep(1)
    a.cancel()
    await asyncio.wait([a, b])
    say("locked:", yes(lock.locked()))


async def an_update_that_waits_without_a_lock():
    counter = 0

    async def increment():
        nonlocal counter
        seen = counter
        await sleep(0.5)
        counter = seen + 1

    await gather(*[increment() for _ in range(10)])
    say("counter:", counter)


async def an_update_that_waits_with_a_lock():
    counter = 0
    lock = asyncio.Lock()

    async def increment():
        nonlocal counter
        async with lock:
            seen = counter
            await sleep(0.5)
            counter = seen + 1

    await gather(*[increment() for _ in range(10)])
    say("counter:", counter)


async def an_event():
    async def waiter(name):
        say(name, "waits")
        await event.wait()
        say(name, "goes on")

    event = asyncio.Event()
    tasks = [create_task(waiter(name)) for name in "abc"]
    await sleep(2)
    say("set:", yes(event.is_set()))
    event.set()
    say("set:", yes(event.is_set()))
    await gather(*tasks)


async def an_event_that_is_set():
    event = asyncio.Event()
    event.set()
    await event.wait()
    say("no wait")
    event.clear()
    say("set:", yes(event.is_set()))


async def set_and_cleared_at_once():
    async def waiter(name):
        await event.wait()
        say(name, "goes on; set:", yes(event.is_set()))

    event = asyncio.Event()
    tasks = [create_task(waiter(name)) for name in "ab"]
    await sleep(1)
    event.set()
    event.clear()
    await gather(*tasks)


async def an_event_and_a_late_comer():
    async def waiter(name):
        await event.wait()
        say(name)

    event = asyncio.Event()
    early = create_task(waiter("early"))
    await sleep(1)
    late = create_task(waiter("late"))
    event.set()
    await gather(early, late)


async def a_waiter_of_an_event_is_cancelled():
    async def waiter(name):
        try:
            await event.wait()
            say(name, "goes on")
        except CancelledError:
            say(name, "is cancelled")
            raise

    event = asyncio.Event()
    a, b = create_task(waiter("a")), create_task(waiter("b"))
    await sleep(1)
    a.cancel()
    await sleep(1)
    event.set()
    await asyncio.wait([a, b])


async def set_and_cancelled_in_one_turn():
    async def waiter():
        await event.wait()
        say("the waiter goes on")
        await sleep(1)
        say("never")

    event = asyncio.Event()
    task = create_task(waiter())
    await sleep(1)
    event.set()
    task.cancel()
    await asyncio.wait([task])
    say("cancelled:", yes(task.cancelled()))


async def a_condition_notifies_two():
    async def waiter(name):
        async with condition:
            await condition.wait()
            say(name, "goes on")

    condition = asyncio.Condition()
    tasks = [create_task(waiter(name)) for name in "abc"]
    await sleep(1)
    async with condition:
        condition.notify(2)
        await sleep(1)
        say("unlocking")
    await sleep(1)
    async with condition:
        say("once more")
        condition.notify()
    await gather(*tasks)


async def a_condition_notifies_all():
    async def waiter(name):
        async with condition:
            await condition.wait()
            say(name, "is in")
            await sleep(1)

    condition = asyncio.Condition()
    tasks = [create_task(waiter(name)) for name in "abc"]
    await sleep(1)
    async with condition:
        condition.notify_all()
    await gather(*tasks)


async def a_notification_is_not_remembered():
    condition = asyncio.Condition()
    async with condition:
        condition.notify()
    async with condition:
        try:
            async with asyncio.timeout(1):
                await condition.wait()
        except TimeoutError as error:
            say(kind(error), "locked:", yes(condition.locked()))


async def a_condition_with_a_predicate():
    stock = 0

    async def buyer(name, wanted):
        nonlocal stock
        async with condition:
            await condition.wait_for(lambda: stock >= wanted)
            stock -= wanted
            say(name, "takes", wanted, "of", stock + wanted)

    condition = asyncio.Condition()
    tasks = [create_task(buyer("a", 3)), create_task(buyer("b", 1))]
    for _ in range(4):
        await sleep(1)
        async with condition:
            stock += 1
            condition.notify_all()
    await gather(*tasks)


async def a_cancelled_waiter_of_a_condition_holds_the_lock_again():
    async def waiter():
        async with condition:
            try:
                await condition.wait()
            finally:
                say("locked:", yes(condition.locked()))

    condition = asyncio.Condition()
    task = create_task(waiter())
    await sleep(1)
    async with condition:
        task.cancel()
        await sleep(1)
        say("unlocking")
    await asyncio.wait([task])
    say("locked:", yes(condition.locked()))


async def notified_and_then_cancelled():
    async def waiter():
        async with condition:
            await condition.wait()
            say("the waiter goes on")

    condition = asyncio.Condition()
    task = create_task(waiter())
    await sleep(1)
    async with condition:
        condition.notify()
        await sleep(1)
        task.cancel()
        await sleep(1)
    await asyncio.wait([task])
    say("cancelled:", yes(task.cancelled()))


async def a_semaphore_for_two():
    async def job(name):
        async with semaphore:
            say(name, "works")
            await sleep(1)
            say(name, "is done")

    semaphore = asyncio.Semaphore(2)
    await gather(*[job(n) for n in range(5)])


async def permits_are_given_in_order():
    async def job(name):
        await semaphore.acquire()
        say(name)

    semaphore = asyncio.Semaphore(0)
    tasks = [create_task(job(name)) for name in "abcd"]
    await sleep(1)
    semaphore.release()
    semaphore.release()
    await sleep(1)
    say("and two more")
    semaphore.release()
    semaphore.release()
    await gather(*tasks)


async def a_newcomer_does_not_overtake():
    async def job(name):
        await semaphore.acquire()
        say(name)

    semaphore = asyncio.Semaphore(0)
    waiting = create_task(job("waiting"))
    await sleep(1)
    newcomer = create_task(job("newcomer"))
    semaphore.release()
    await sleep(1)
    semaphore.release()
    await gather(waiting, newcomer)


async def a_semaphore_that_is_locked():
    semaphore = asyncio.Semaphore(2)
    await semaphore.acquire()
    say("locked:", yes(semaphore.locked()))
    await semaphore.acquire()
    say("locked:", yes(semaphore.locked()))
    semaphore.release()
    say("locked:", yes(semaphore.locked()))


async def a_permit_is_not_lost():
    async def job(name):
        async with semaphore:
            say(name)
            await sleep(1)

    semaphore = asyncio.Semaphore(1)
    a, b, c = [create_task(job(name)) for name in "abc"]
    await sleep(0.5)
    b.cancel()
    await asyncio.wait([a, b, c])
    say("locked:", yes(semaphore.locked()))


async def a_bounded_semaphore():
    semaphore = asyncio.BoundedSemaphore(1)
    await semaphore.acquire()
    semaphore.release()
    try:
        semaphore.release()
    except ValueError:
        say("released too often")
    await semaphore.acquire()
    say("locked:", yes(semaphore.locked()))


async def a_barrier_for_three():
    async def child(name, delay):
        await sleep(delay)
        say(name, "arrives")
        place = await barrier.wait()
        say(name, "was number", place)

    barrier = asyncio.Barrier(3)
    await gather(child("a", 2), child("b", 1), child("c", 3))


async def a_barrier_in_rounds():
    async def child(name, delay):
        for n in range(2):
            await sleep(delay)
            await barrier.wait()
            say(name, "passes round", n)

    barrier = asyncio.Barrier(2)
    await gather(child("a", 1), child("b", 3))


async def a_waiter_leaves_a_barrier():
    async def child(name):
        await barrier.wait()
        say(name, "passes")

    barrier = asyncio.Barrier(2)
    a = create_task(child("a"))
    await sleep(1)
    a.cancel()
    await sleep(1)
    await gather(child("b"), child("c"))


async def a_barrier_is_reset():
    async def child(name):
        try:
            await barrier.wait()
            say(name, "passes")
        except asyncio.BrokenBarrierError:
            say(name, "is sent away")

    barrier = asyncio.Barrier(2)
    a = create_task(child("a"))
    await sleep(1)
    say("waiting:", barrier.n_waiting)
    await barrier.reset()
    await a
    say("broken:", yes(barrier.broken))
    await gather(child("b"), child("c"))


async def a_barrier_is_aborted():
    async def child(name):
        try:
            await barrier.wait()
            say(name, "passes")
        except asyncio.BrokenBarrierError:
            say(name, "is sent away")

    barrier = asyncio.Barrier(2)
    a = create_task(child("a"))
    await sleep(1)
    await barrier.abort()
    await a
    say("broken:", yes(barrier.broken))
    await child("b")


SCENARIOS = [
    one_at_a_time,
    locked_or_not,
    nobody_overtakes,
    turns_are_fair,
    an_error_unlocks,
    a_cancelled_waiter_is_left_out,
    the_holder_is_cancelled,
    an_update_that_waits_without_a_lock,
    an_update_that_waits_with_a_lock,
    an_event,
    an_event_that_is_set,
    set_and_cleared_at_once,
    an_event_and_a_late_comer,
    a_waiter_of_an_event_is_cancelled,
    set_and_cancelled_in_one_turn,
    a_condition_notifies_two,
    a_condition_notifies_all,
    a_notification_is_not_remembered,
    a_condition_with_a_predicate,
    a_cancelled_waiter_of_a_condition_holds_the_lock_again,
    notified_and_then_cancelled,
    a_semaphore_for_two,
    permits_are_given_in_order,
    a_newcomer_does_not_overtake,
    a_semaphore_that_is_locked,
    a_permit_is_not_lost,
    a_bounded_semaphore,
    a_barrier_for_three,
    a_barrier_in_rounds,
    a_waiter_leaves_a_barrier,
    a_barrier_is_reset,
    a_barrier_is_aborted,
]
