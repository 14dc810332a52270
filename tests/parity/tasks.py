"""Tasks: what they return, how they fail, who is told."""

import asyncio
from asyncio import create_task, current_task, sleep

from harness import Failure, kind, say, yes


async def results_in_any_order():
    async def square(n, delay):
        await sleep(delay)
        return n * n

    slow, fast = create_task(square(3, 2)), create_task(square(4, 1))
    say("slow:", await slow)
    say("fast:", await fast)


async def one_after_the_other_and_together():
    async def job(name, delay):
        say(name, "begins")
        await sleep(delay)
        say(name, "ends")

    await job("a", 2)
    await job("b", 1)
    tasks = [create_task(job("c", 2)), create_task(job("d", 1))]
    for task in tasks:
        await task


async def an_error_reaches_whoever_waits():
    async def failing():
        await sleep(1)
        raise Failure("boom")

    task = create_task(failing())
    try:
        await task
    except Failure as error:
        say("caught:", kind(error))
    say("done:", yes(task.done()), "cancelled:", yes(task.cancelled()))


async def an_error_waits_for_whoever_comes_late():
    async def failing():
        say("fails")
        raise Failure("boom")

    task = create_task(failing())
    await sleep(5)
    say("done:", yes(task.done()))
    try:
        await task
    except Failure as error:
        say("caught:", kind(error))


async def an_error_goes_through_those_who_do_not_catch_it():
    async def inner():
        await sleep(1)
        raise Failure("boom")

    async def middle():
        await create_task(inner())
        say("never")

    async def outer():
        await create_task(middle())
        say("never")

    try:
        await create_task(outer())
    except Failure as error:
        say("caught:", kind(error))


async def main_fails():
    await sleep(1)
    raise Failure("boom")


async def a_task_that_is_done_is_joined_at_once():
    async def child(name):
        say(name)

    first, second = create_task(child("first")), create_task(child("second"))
    await sleep(1)
    third = create_task(child("third"))
    await first
    await second
    say("no turn was given up")
    await third


async def nobody_joins_and_it_runs_on():
    async def child():
        await sleep(1)
        say("child ends")

    tasks = [create_task(child())]  # asyncio itself would let it vanish
    say("main goes on")
    await sleep(2)
    assert tasks
    say("main ends")


async def main_ends_first():
    async def child():
        say("child begins")
        try:
            await sleep(10)
        finally:
            say("child is ended")

    task = create_task(child())
    await sleep(1)
    say("main ends", yes(task.done()))


async def clean_up_at_the_end_may_wait():
    async def child():
        try:
            await sleep(10)
        finally:
            say("closing")
            await sleep(2)
            say("closed")

    task = create_task(child())
    await sleep(1)
    say("main ends", yes(task.done()))


async def a_lost_error_is_reported():
    def reported(loop, context):
        say("reported:", context["exception"])

    async def failing():
        await sleep(1)
        raise Failure("boom")

    asyncio.get_running_loop().set_exception_handler(reported)
    task = create_task(failing())
    await sleep(2)
    say("done:", yes(task.done()))
    del task
    say("the handle is gone")
    await sleep(1)


async def who_is_running():
    async def child():
        me = current_task()
        say(me.get_name(), "of", len(asyncio.all_tasks()))
        await sleep(1)
        say("still", yes(current_task() is me), "of", len(asyncio.all_tasks()))

    current_task().set_name("main")
    task = create_task(child(), name="child")
    await sleep(0)
    say(current_task().get_name())
    await sleep(2)
    say(task.get_name(), "is done:", yes(task.done()), "of", len(asyncio.all_tasks()))


async def a_callback_is_in_no_task():
    def callback():
        say("a task runs:", yes(current_task() is not None))

    asyncio.get_running_loop().call_soon(callback)
    await sleep(0)
    say("a task runs:", yes(current_task() is not None))


async def a_task_waits_for_itself():
    async def child():
        try:
            await task
        except RuntimeError:
            say("refused")

    task = create_task(child())
    await sleep(1)
    await task


async def several_wait_for_one():
    async def slow():
        await sleep(1)
        say("done")

    async def waiter(name):
        await asyncio.wait([one])
        say(name, "goes on")

    one = create_task(slow())
    tasks = [create_task(waiter(name)) for name in "abc"]
    for task in tasks:
        await task


async def a_tree_of_tasks():
    async def node(name, depth):
        say(name, "begins")
        if depth:
            children = [create_task(node(name + side, depth - 1)) for side in "lr"]
            for child in children:
                await child
            await sleep(1)
        say(name, "ends")

    await create_task(node("t", 2))


async def a_pause_deep_down():
    async def deep(n):
        if n == 0:
            say("at the bottom")
            await sleep(1)
            return 0
        return 1 + await deep(n - 1)

    say("depth", await deep(50))


async def a_loop_of_errors():
    async def attempt(n):
        await sleep(1)
        if n < 3:
            raise Failure(f"attempt {n}")
        return "well"

    for n in range(1, 5):
        try:
            say(await attempt(n))
            break
        except Failure as error:
            say(kind(error))


async def everybody_waits_for_nothing():
    async def waiter(event):
        say("waits")
        await event.wait()

    event = asyncio.Event()
    task = create_task(waiter(event))
    await task


SCENARIOS = [
    results_in_any_order,
    one_after_the_other_and_together,
    an_error_reaches_whoever_waits,
    an_error_waits_for_whoever_comes_late,
    an_error_goes_through_those_who_do_not_catch_it,
    main_fails,
    a_task_that_is_done_is_joined_at_once,
    nobody_joins_and_it_runs_on,
    main_ends_first,
    clean_up_at_the_end_may_wait,
    a_lost_error_is_reported,
    who_is_running,
    a_callback_is_in_no_task,
    a_task_waits_for_itself,
    several_wait_for_one,
    a_tree_of_tasks,
    a_pause_deep_down,
    a_loop_of_errors,
    everybody_waits_for_nothing,
]
