"""Other threads. Nothing here depends on who is faster."""

import asyncio
import threading
from asyncio import create_task, gather, get_running_loop, sleep, to_thread
from contextvars import ContextVar

from harness import Failure, kind, say, yes


async def a_blocking_call():
    say(await to_thread(sum, range(1000)))


async def a_blocking_call_that_fails():
    def failing():
        raise Failure("boom")

    try:
        await to_thread(failing)
    except Failure as error:
        say("caught:", kind(error))


async def it_is_another_thread():
    here = threading.get_ident()
    there = await to_thread(threading.get_ident)
    say("the same:", yes(here == there))


async def others_run_meanwhile():
    async def other():
        say("another task runs")
        go.set()

    go = threading.Event()
    task = create_task(other())
    await to_thread(go.wait)
    say("the blocking call is over")
    await task


async def several_blocking_calls():
    def work(n):
        return n * n

    say(*await gather(*[to_thread(work, n) for n in range(4)]))


async def another_thread_calls_in():
    def outside():
        for n in range(3):
            loop.call_soon_threadsafe(say, "call", n)
        loop.call_soon_threadsafe(done.set)
        loop.call_soon_threadsafe(loop.expected)  # last: up to here the loop has something to wait for

    loop = get_running_loop()
    done = asyncio.Event()
    loop.expect()
    thread = threading.Thread(target=outside)
    thread.start()
    await done.wait()
    thread.join()
    say("all in order")


async def another_thread_starts_a_task():
    async def body():
        say("the task runs on the loop")
        await sleep(0)
        return 7

    def outside():
        return asyncio.run_coroutine_threadsafe(body(), loop).result() + 1

    loop = get_running_loop()
    say("the thread got", await to_thread(outside))


async def a_task_of_another_thread_fails():
    async def body():
        raise Failure("boom")

    def outside():
        try:
            asyncio.run_coroutine_threadsafe(body(), loop).result()
        except Failure as error:
            return kind(error)

    loop = get_running_loop()
    say("the thread caught:", await to_thread(outside))


async def variables_in_a_thread():
    user = ContextVar("user", default="nobody")
    user.set("ada")
    say("the thread sees", await to_thread(user.get))


SCENARIOS = [
    a_blocking_call,
    a_blocking_call_that_fails,
    it_is_another_thread,
    others_run_meanwhile,
    several_blocking_calls,
    another_thread_calls_in,
    another_thread_starts_a_task,
    a_task_of_another_thread_fails,
    variables_in_a_thread,
]
