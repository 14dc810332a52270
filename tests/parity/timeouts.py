"""Time limits."""

import asyncio
from asyncio import CancelledError, create_task, current_task, sleep, timeout, timeout_at, wait_for

from harness import Failure, kind, say, yes


async def in_time():
    async with timeout(2) as limit:
        await sleep(1)
        say("in time")
    say("expired:", yes(limit.expired()))
    await sleep(5)
    say("the limit is forgotten")


async def too_late():
    try:
        async with timeout(2):
            await sleep(3)
            say("never")
    except TimeoutError as error:
        say(kind(error))
    say("requests:", current_task().cancelling())
    await sleep(1)
    say("main goes on")


async def a_value_in_time():
    async def job():
        await sleep(1)
        return 7

    say(await wait_for(job(), 2))


async def the_inner_limit_first():
    try:
        async with timeout(5):
            try:
                async with timeout(1):
                    await sleep(9)
            except TimeoutError:
                say("the inner one; a fallback")
            await sleep(1)
            say("the fallback is there")
            await sleep(9)
    except TimeoutError:
        say("the outer one")


async def the_outer_limit_first():
    try:
        async with timeout(1):
            inner = timeout(5)
            try:
                async with inner:
                    await sleep(9)
            except CancelledError:
                say("inside: cancelled; inner expired:", yes(inner.expired()))
                raise
    except TimeoutError as error:
        say(kind(error))


async def both_limits_at_once():
    try:
        async with timeout(1):
            try:
                async with timeout(1):
                    await sleep(9)
            except CancelledError:
                say("the inner one passes it on")
                raise
            except TimeoutError:
                say("the inner one takes it")
                raise
    except TimeoutError as error:
        say(kind(error))


async def no_limit():
    async with timeout(None) as limit:
        await sleep(1000)
        say("when:", limit.when())


async def reschedule_later():
    loop = asyncio.get_running_loop()
    try:
        async with timeout(1) as limit:
            await sleep(0.5)
            limit.reschedule(loop.time() + 2)
            say("due at", limit.when())
            await sleep(9)
    except TimeoutError as error:
        say(kind(error), yes(limit.expired()))


async def reschedule_earlier():
    loop = asyncio.get_running_loop()
    try:
        async with timeout(100) as limit:
            limit.reschedule(loop.time() + 1)
            await sleep(9)
    except TimeoutError as error:
        say(kind(error))


async def reschedule_to_none():
    async with timeout(1) as limit:
        limit.reschedule(None)
        await sleep(9)
    say("expired:", yes(limit.expired()))


async def reschedule_from_a_callback():
    loop = asyncio.get_running_loop()
    try:
        async with timeout(1) as limit:
            loop.call_later(0.5, lambda: limit.reschedule(loop.time() + 5))
            await sleep(9)
    except TimeoutError as error:
        say(kind(error))


async def a_limit_in_the_past():
    loop = asyncio.get_running_loop()
    await sleep(5)
    try:
        async with timeout_at(loop.time() - 1):
            say("the body begins")
            await sleep(1)
            say("never")
    except TimeoutError as error:
        say(kind(error))
    async with timeout_at(loop.time() - 1):
        say("and need not wait")


async def at_a_moment():
    loop = asyncio.get_running_loop()
    try:
        async with timeout_at(loop.time() + 3):
            await sleep(1)
            say("one")
            await sleep(9)
    except TimeoutError as error:
        say(kind(error))


async def an_error_before_the_limit():
    try:
        async with timeout(2):
            await sleep(1)
            raise Failure("boom")
    except Failure as error:
        say(kind(error))


async def an_error_because_of_the_limit():
    try:
        async with timeout(1):
            try:
                await sleep(9)
            except CancelledError:
                raise Failure("rewrapped")
    except (TimeoutError, Failure) as error:
        say(kind(error))


async def a_value_in_spite_of_the_limit():
    async def stubborn():
        try:
            await sleep(9)
        except CancelledError:
            say("swallowed")
        return 7

    say(await wait_for(stubborn(), 1))
    say("requests:", current_task().cancelling())


async def cancelled_from_outside():
    async def child():
        async with timeout(5):
            await sleep(9)

    task = create_task(child())
    await sleep(1)
    task.cancel()
    try:
        await task
    except (CancelledError, TimeoutError) as error:
        say(kind(error))


async def clean_up_after_the_limit():
    async def child():
        async with timeout(1):
            try:
                await sleep(9)
            finally:
                await sleep(2)
                say("cleaned up")

    task = create_task(child())
    try:
        await task
    except TimeoutError as error:
        say(kind(error))


async def a_task_ends_before_its_limit_is_told():
    async def slow():
        try:
            await sleep(9)
        finally:
            await sleep(2)
            say("the task has cleaned up")

    try:
        await wait_for(create_task(slow()), 1)
    except TimeoutError as error:
        say(kind(error))


async def a_shielded_task_outlives_the_limit():
    async def slow():
        await sleep(3)
        say("the task is done")
        return 7

    task = create_task(slow())
    try:
        await wait_for(asyncio.shield(task), 1)
    except TimeoutError as error:
        say(kind(error))
    say(await task)


async def limits_of_two_tasks():
    async def child(name, limit):
        try:
            async with timeout(limit):
                await sleep(2)
                say(name, "in time")
        except TimeoutError as error:
            say(name, kind(error))

    tasks = [create_task(child("a", 1)), create_task(child("b", 3))]
    for task in tasks:
        await task


async def three_attempts():
    async def attempt(n):
        await sleep(3 - n)
        return f"answer {n}"

    for n in range(3):
        try:
            say(await wait_for(attempt(n), 1.5))
            break
        except TimeoutError as error:
            say("attempt", n, kind(error))


SCENARIOS = [
    in_time,
    too_late,
    a_value_in_time,
    the_inner_limit_first,
    the_outer_limit_first,
    both_limits_at_once,
    no_limit,
    reschedule_later,
    reschedule_earlier,
    reschedule_to_none,
    reschedule_from_a_callback,
    a_limit_in_the_past,
    at_a_moment,
    an_error_before_the_limit,
    an_error_because_of_the_limit,
    a_value_in_spite_of_the_limit,
    cancelled_from_outside,
    clean_up_after_the_limit,
    a_task_ends_before_its_limit_is_told,
    a_shielded_task_outlives_the_limit,
    limits_of_two_tasks,
    three_attempts,
]
