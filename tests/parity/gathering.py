"""The results of several, in the order in which they were asked for."""

import asyncio
from asyncio import CancelledError, create_task, gather, sleep

from harness import Failure, kind, say, yes


async def value(name, delay):
    await sleep(delay)
    say(name, "is ready")
    return name


async def fail(name, delay):
    await sleep(delay)
    say(name, "fails")
    raise Failure("no " + name)


def show(results):
    return ", ".join(kind(result) if isinstance(result, BaseException) else result for result in results)


async def results_keep_their_order():
    say(show(await gather(value("a", 2), value("b", 1), value("c", 3))))


async def of_a_list():
    say(show(await gather(*[value(name, 1) for name in "xyz"])))


async def of_nothing():
    say(len(await gather()), "results")


async def of_tasks():
    first, second = create_task(value("first", 2)), create_task(value("second", 1))
    say(show(await gather(first, second)))


async def errors_among_the_results():
    results = await gather(value("a", 2), fail("b", 1), value("c", 3), return_exceptions=True)
    say(show(results))


async def a_cancelled_one_among_the_results():
    a, b = create_task(value("a", 5)), create_task(value("b", 2))
    asyncio.get_running_loop().call_later(1, a.cancel)
    say(show(await gather(a, b, return_exceptions=True)))


async def the_first_error_of_tasks():
    a, b, c = create_task(value("a", 3)), create_task(fail("b", 1)), create_task(value("c", 2))
    try:
        await gather(a, b, c)
    except Failure as error:
        say("caught:", kind(error))
    await sleep(5)
    say("the others ran on:", yes(not a.cancelled() and not c.cancelled()))


async def the_first_error_of_calls():
    try:
        await gather(value("a", 3), fail("b", 1), value("c", 2))
    except Failure as error:
        say("caught:", kind(error))
    await sleep(5)
    say("main ends")


async def cancelling_it_cancels_all():
    async def child(name):
        try:
            await sleep(9)
        finally:
            say(name, "is cancelled")

    async def gatherer():
        await gather(child("a"), child("b"))

    task = create_task(gatherer())
    await sleep(1)
    task.cancel()
    try:
        await task
    except CancelledError as error:
        say(kind(error))


async def cancelled_while_it_collects_errors():
    async def child(name):
        try:
            await sleep(9)
        finally:
            say(name, "is cancelled")

    async def gatherer():
        await gather(child("a"), child("b"), return_exceptions=True)
        say("never")

    task = create_task(gatherer())
    await sleep(1)
    task.cancel()
    try:
        await task
    except CancelledError as error:
        say(kind(error))


async def nested():
    a, (b, c), d = await gather(value("a", 1), gather(value("b", 3), value("c", 2)), value("d", 4))
    say(f"{a} ({b} {c}) {d}")


async def in_turns():
    async def count(name):
        for n in range(3):
            say(name, n)
            await sleep(0)

    await gather(count("a"), count("b"), count("c"))


async def within_a_limit():
    try:
        async with asyncio.timeout(2):
            await gather(value("a", 1), value("b", 3))
    except TimeoutError as error:
        say(kind(error))
    await sleep(5)


SCENARIOS = [
    results_keep_their_order,
    of_a_list,
    of_nothing,
    of_tasks,
    errors_among_the_results,
    a_cancelled_one_among_the_results,
    the_first_error_of_tasks,
    the_first_error_of_calls,
    cancelling_it_cancels_all,
    cancelled_while_it_collects_errors,
    nested,
    in_turns,
    within_a_limit,
]
