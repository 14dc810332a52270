"""Cancelling: what a task sees, what whoever waits for it sees, and what is left of it."""

import asyncio
from asyncio import CancelledError, create_task, current_task, sleep

from harness import Failure, kind, say, yes


async def result(task):
    """How a task ended."""
    try:
        return await task
    except (CancelledError, Failure) as error:
        return kind(error)


async def a_sleeper():
    async def child():
        try:
            await sleep(5)
            say("never")
        except CancelledError:
            say("child is cancelled")
            raise

    task = create_task(child())
    await sleep(1)
    say("asked:", yes(task.cancel()), "done:", yes(task.done()), "requests:", task.cancelling())
    say("main caught:", await result(task))
    say("cancelled:", yes(task.cancelled()))


async def before_it_began():
    async def child():
        say("never")

    task = create_task(child())
    task.cancel()
    say(await result(task), yes(task.cancelled()))


async def when_it_is_done():
    async def child():
        return 7

    task = create_task(child())
    await sleep(1)
    say("asked:", yes(task.cancel()))
    say(await result(task), "cancelled:", yes(task.cancelled()))


async def an_answer_all_the_same():
    async def child():
        try:
            await sleep(5)
        except CancelledError:
            say("not now")
        return 5

    task = create_task(child())
    await sleep(1)
    task.cancel()
    say(await result(task), "cancelled:", yes(task.cancelled()), "requests:", task.cancelling())


async def uncancel_and_go_on():
    async def child():
        try:
            await sleep(5)
        except CancelledError:
            say("requests left:", current_task().uncancel())
        await sleep(5)
        return "finished"

    task = create_task(child())
    await sleep(1)
    task.cancel()
    say(await result(task), "cancelled:", yes(task.cancelled()), "requests:", task.cancelling())


async def swallow_and_go_on():
    async def child():
        for n in range(3):
            try:
                await sleep(5)
                say("slept")
            except CancelledError:
                say("swallowed")
        return "finished"

    task = create_task(child())
    await sleep(1)
    task.cancel()
    say(await result(task))


async def two_requests_are_one_cancellation():
    async def child():
        try:
            await sleep(5)
        except CancelledError:
            say("cancelled; requests:", current_task().cancelling())
            raise

    task = create_task(child())
    await sleep(1)
    task.cancel()
    task.cancel()
    say(await result(task))


async def in_the_order_of_the_requests():
    async def child(name):
        try:
            await sleep(5)
        finally:
            say(name)

    a, b, c = [create_task(child(name)) for name in "abc"]
    await sleep(1)
    for task in c, a, b:
        task.cancel()
    for task in a, b, c:
        await result(task)


async def innermost_first():
    async def innermost():
        try:
            await sleep(5)
        finally:
            say("innermost")

    async def outer(name, inner):
        task = create_task(inner)
        try:
            await task
        finally:
            say(f"{name}; inner done: {yes(task.done())}")

    task = create_task(outer("outermost", outer("middle", innermost())))
    await sleep(1)
    task.cancel()
    say(await result(task))


async def the_inner_one_swallows_it():
    async def inner():
        try:
            await sleep(5)
        except CancelledError:
            say("inner swallows it")
        return 3

    async def outer():
        say("outer got", await create_task(inner()))
        await sleep(5)
        say("outer goes on")
        return "finished"

    task = create_task(outer())
    await sleep(1)
    task.cancel()
    say(await result(task))


async def a_child_was_cancelled_and_not_me():
    async def child():
        await sleep(5)

    task = create_task(child())
    asyncio.get_running_loop().call_later(1, task.cancel)
    say(await result(task), "my requests:", current_task().cancelling())
    await sleep(1)
    say("main goes on")


async def of_oneself():
    async def child():
        current_task().cancel()
        say("still running")
        await sleep(0)
        say("never")

    say(await result(create_task(child())))


async def of_oneself_and_a_value():
    async def child():
        current_task().cancel()
        return 7

    task = create_task(child())
    say(await result(task), "cancelled:", yes(task.cancelled()))


async def a_reason():
    async def child():
        try:
            await sleep(5)
        except CancelledError as error:
            say("why:", error.args[0])
            raise

    task = create_task(child())
    await sleep(1)
    task.cancel("no longer needed")
    say(await result(task))


async def clean_up_that_waits():
    async def child():
        try:
            await sleep(5)
        finally:
            say("closing")
            await sleep(1)
            await sleep(1)
            say("closed")

    task = create_task(child())
    await sleep(1)
    task.cancel()
    say(await result(task))


async def another_cancel_during_clean_up():
    async def child():
        try:
            await sleep(5)
        finally:
            say("closing")
            try:
                await sleep(3)
                say("closed")
            except CancelledError:
                say("clean-up is cut short")

    task = create_task(child())
    await sleep(1)
    task.cancel()
    await sleep(1)
    task.cancel()
    say(await result(task))


async def clean_up_that_fails():
    async def child():
        try:
            await sleep(5)
        except CancelledError:
            raise Failure("clean-up failed")

    task = create_task(child())
    await sleep(1)
    task.cancel()
    say(await result(task))


async def an_error_of_its_own_counts_as():
    async def child():
        try:
            await sleep(5)
        except CancelledError:
            raise Failure("boom")

    task = create_task(child())
    await sleep(1)
    task.cancel()
    await result(task)
    say("cancelled:", yes(task.cancelled()))


async def in_the_turn_of_its_result():
    async def child():
        await sleep(1)
        say("child has slept")
        await sleep(1)
        say("child goes on")

    async def canceller():
        await sleep(1)
        task.cancel()

    other = create_task(canceller())
    task = create_task(child())
    say(await result(task))
    await other


async def a_call_that_is_ready():
    async def child():
        event = asyncio.Event()
        event.set()
        current_task().cancel()
        await event.wait()
        say("a call that need not wait went well")
        await sleep(1)

    say(await result(create_task(child())))


async def the_waiter_is_cancelled_and_the_task_is_not():
    async def worker():
        await sleep(3)
        say("the work is done")
        return 7

    async def waiter():
        try:
            await asyncio.shield(work)
        finally:
            say("the waiter ends")

    work = create_task(worker())
    task = create_task(waiter())
    await sleep(1)
    task.cancel()
    say(await result(task), "requests to the worker:", work.cancelling())
    say(await result(work))


async def a_worker_until_it_is_told_to_stop():
    async def worker():
        n = 0
        try:
            while True:
                n += 1
                say("step", n)
                await sleep(1)
        finally:
            say("stopped after", n)

    task = create_task(worker())
    await sleep(2.5)
    task.cancel()
    say(await result(task))


async def main_cancels_itself():
    current_task().cancel()
    await sleep(1)
    say("never")


SCENARIOS = [
    a_sleeper,
    before_it_began,
    when_it_is_done,
    an_answer_all_the_same,
    uncancel_and_go_on,
    swallow_and_go_on,
    two_requests_are_one_cancellation,
    in_the_order_of_the_requests,
    innermost_first,
    the_inner_one_swallows_it,
    a_child_was_cancelled_and_not_me,
    of_oneself,
    of_oneself_and_a_value,
    a_reason,
    clean_up_that_waits,
    another_cancel_during_clean_up,
    clean_up_that_fails,
    an_error_of_its_own_counts_as,
    in_the_turn_of_its_result,
    a_call_that_is_ready,
    the_waiter_is_cancelled_and_the_task_is_not,
    a_worker_until_it_is_told_to_stop,
    main_cancels_itself,
]
