"""Waiting for some of several tasks."""

import asyncio
from asyncio import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, as_completed, create_task, sleep, wait

from harness import Failure, kind, say, yes


async def value(name, delay):
    await sleep(delay)
    return name


async def fail(name, delay):
    await sleep(delay)
    raise Failure("no " + name)


def start(bodies):
    return [create_task(body, name=body.cr_frame.f_locals["name"]) for body in bodies]


def names(tasks):
    return " ".join(sorted(task.get_name() for task in tasks)) or "none"


async def for_the_first():
    tasks = start([value("a", 2), value("b", 1), value("c", 3)])
    done, pending = await wait(tasks, return_when=FIRST_COMPLETED)
    say("done:", names(done), "pending:", names(pending))
    for task in pending:
        task.cancel()


async def for_the_first_of_two_at_once():
    tasks = start([value("a", 1), value("b", 1), value("c", 3)])
    done, pending = await wait(tasks, return_when=FIRST_COMPLETED)
    say("done:", names(done), "pending:", names(pending))


async def for_all():
    tasks = start([value("a", 2), fail("b", 1), value("c", 3)])
    done, pending = await wait(tasks, return_when=ALL_COMPLETED)
    say("done:", names(done), "pending:", names(pending))
    for task in tasks:
        say(kind(task.exception()) if task.exception() else task.result())


async def for_the_first_error():
    tasks = start([value("a", 1), fail("b", 2), value("c", 3)])
    done, pending = await wait(tasks, return_when=FIRST_EXCEPTION)
    say("done:", names(done), "pending:", names(pending))
    say(kind(tasks[1].exception()))
    done, pending = await wait(pending)
    say("done:", names(done))


async def for_the_first_error_that_does_not_come():
    tasks = start([value("a", 1), value("b", 2)])
    done, pending = await wait(tasks, return_when=FIRST_EXCEPTION)
    say("done:", names(done), "pending:", names(pending))


async def a_cancelled_task_is_no_error():
    tasks = start([value("a", 5), value("b", 2)])
    asyncio.get_running_loop().call_later(1, tasks[0].cancel)
    done, pending = await wait(tasks, return_when=FIRST_EXCEPTION)
    say("done:", names(done), "pending:", names(pending))


async def no_longer_than():
    tasks = start([value("a", 1), value("b", 3)])
    done, pending = await wait(tasks, timeout=2)
    say("done:", names(done), "pending:", names(pending))
    done, pending = await wait(pending)
    say("done:", names(done), "pending:", names(pending))


async def for_what_is_done_already():
    tasks = start([value("a", 0), value("b", 5)])
    await sleep(1)
    done, pending = await wait(tasks, return_when=FIRST_COMPLETED)
    say("done:", names(done), "pending:", names(pending))


async def the_waiter_is_cancelled():
    async def waiter():
        await wait(tasks)

    tasks = start([value("a", 2)])
    task = create_task(waiter())
    await sleep(1)
    task.cancel()
    try:
        await task
    except CancelledError as error:
        say("waiter:", kind(error))
    say(await tasks[0])


async def until_none_is_left():
    pending = start([value("a", 3), value("b", 1), value("c", 2)])
    while pending:
        done, pending = await wait(pending, return_when=FIRST_COMPLETED)
        say("done:", names(done), "pending:", names(pending))


async def one_by_one():
    for next_one in as_completed(start([value("a", 3), value("b", 1), value("c", 2)])):
        say(await next_one)


async def one_by_one_with_errors():
    for next_one in as_completed(start([value("a", 3), fail("b", 1), value("c", 2)])):
        try:
            say(await next_one)
        except Failure as error:
            say("error:", kind(error))


async def one_by_one_within_a_limit():
    tasks = start([value("a", 3), value("b", 1)])
    try:
        for next_one in as_completed(tasks, timeout=2):
            say(await next_one)
    except TimeoutError as error:
        say(kind(error))
    say(await tasks[0])


async def the_fastest_wins():
    async def racer(name, delay):
        try:
            await sleep(delay)
            return name
        except CancelledError:
            say(name, "is cancelled")
            raise

    tasks = start([racer("slow", 3), racer("fast", 1)])
    done, pending = await wait(tasks, return_when=FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await wait(pending)
    say("the winner:", done.pop().result())


async def a_message_or_the_end_of_patience():
    async def send():
        await sleep(2)
        await queue.put("hello")

    queue = asyncio.Queue()
    sender = create_task(send())
    for _ in range(3):
        message, patience = create_task(queue.get()), create_task(sleep(1.5))
        done, pending = await wait([message, patience], return_when=FIRST_COMPLETED)
        say("message: " + message.result() if message in done else "patience is over")
        for task in pending:
            task.cancel()
    await sender


SCENARIOS = [
    for_the_first,
    for_the_first_of_two_at_once,
    for_all,
    for_the_first_error,
    for_the_first_error_that_does_not_come,
    a_cancelled_task_is_no_error,
    no_longer_than,
    for_what_is_done_already,
    the_waiter_is_cancelled,
    until_none_is_left,
    one_by_one,
    one_by_one_with_errors,
    one_by_one_within_a_limit,
    the_fastest_wins,
    a_message_or_the_end_of_patience,
]
