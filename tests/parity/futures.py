"""Results that somebody else sets."""

import asyncio
from asyncio import CancelledError, InvalidStateError, create_task, gather, get_running_loop, sleep

from harness import Failure, kind, say, yes


def make_future():
    return get_running_loop().create_future()


async def somebody_sets_it():
    async def setter():
        await sleep(1)
        say("sets it")
        future.set_result("done!")
        say("has set it")

    future = make_future()
    task = create_task(setter())
    say("result:", await future)
    await task


async def a_callback_sets_it():
    future = make_future()
    get_running_loop().call_later(2, future.set_result, 7)
    say(await future)


async def it_fails():
    future = make_future()
    get_running_loop().call_later(1, future.set_exception, Failure("boom"))
    try:
        await future
    except Failure as error:
        say("caught:", kind(error))


async def it_was_set_before():
    async def other():
        say("other")

    future = make_future()
    future.set_result(7)
    task = create_task(other())
    say(await future)
    await task


async def set_twice():
    future = make_future()
    future.set_result(1)
    try:
        future.set_result(2)
    except InvalidStateError:
        say("refused")
    say(await future)


async def several_wait():
    async def waiter(name):
        say(name, "got", await future)

    future = make_future()
    tasks = [create_task(waiter(name)) for name in "abc"]
    await sleep(1)
    future.set_result(7)
    say("set")
    await gather(*tasks)


async def done_or_not():
    future = make_future()
    say("done:", yes(future.done()))
    future.set_result(1)
    say("done:", yes(future.done()))


async def within_a_limit():
    future = make_future()
    try:
        async with asyncio.timeout(1):
            await future
    except TimeoutError as error:
        say(kind(error))


async def the_waiter_is_cancelled():
    async def waiter():
        await asyncio.shield(future)

    future = make_future()
    task = create_task(waiter())
    await sleep(1)
    task.cancel()
    try:
        await task
    except CancelledError as error:
        say("waiter:", kind(error))
    future.set_result(7)
    say("and yet:", await future)


async def nobody_will_set_it():
    await make_future()


async def a_request_and_its_answer():
    async def server():
        for _ in range(2):
            question, answer = await inbox.get()
            await sleep(1)
            answer.set_result(question * 2)

    async def ask(n):
        answer = make_future()
        await inbox.put((n, answer))
        say(n, "->", await answer)

    inbox = asyncio.Queue()
    task = create_task(server())
    await gather(ask(3), ask(5))
    await task


SCENARIOS = [
    somebody_sets_it,
    a_callback_sets_it,
    it_fails,
    it_was_set_before,
    set_twice,
    several_wait,
    done_or_not,
    within_a_limit,
    the_waiter_is_cancelled,
    nobody_will_set_it,
    a_request_and_its_answer,
]
