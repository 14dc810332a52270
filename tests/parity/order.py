"""Whose turn it is."""

import asyncio
from asyncio import create_task, get_running_loop, sleep

from harness import say


async def spawn_order():
    async def child(name):
        say(name, "runs")

    tasks = [create_task(child(name)) for name in "abc"]
    say("main still runs")
    for task in tasks:
        await task
    say("main goes on")


async def yielding_alternates():
    async def child(name):
        for n in range(3):
            say(f"{name}{n}")
            await sleep(0)

    a, b = create_task(child("a")), create_task(child("b"))
    await a
    await b


async def call_soon_among_tasks():
    async def child():
        say("task")

    loop = get_running_loop()
    loop.call_soon(say, "before")
    task = create_task(child())
    loop.call_soon(say, "after")
    await sleep(0)
    say("main")
    await task


async def what_is_added_in_a_turn_runs_in_the_next():
    async def child(name):
        say(name)

    async def parent():
        say("parent")
        tasks.append(create_task(child("grandchild")))

    tasks = [create_task(parent()), create_task(child("second")), create_task(child("third"))]
    await sleep(0)
    say("main")
    for task in tasks:
        await task


async def a_call_that_does_not_wait_does_not_pause():
    async def add(a, b):
        return a + b

    async def other():
        say("other")

    task = create_task(other())
    total = 0
    for n in range(3):
        total = await add(total, n)
        say("total", total)
    await task


async def sleepers_wake_by_time():
    async def child(name, delay):
        say(name, "sleeps")
        await sleep(delay)
        say(name, "wakes")

    tasks = [create_task(child("a", 2)), create_task(child("b", 1)), create_task(child("c", 3))]
    for task in tasks:
        await task


async def three_equal_deadlines():
    async def child(name):
        await sleep(1)
        say(name)

    tasks = [create_task(child(name)) for name in "abc"]
    for task in tasks:
        await task


async def eight_equal_deadlines():
    loop = get_running_loop()
    for n in range(8):
        loop.call_later(1, say, n)
    await sleep(2)


async def a_timer_among_tasks_that_yield():
    get_running_loop().call_later(0, say, "timer")
    for n in range(5):
        say("yield", n)
        await sleep(0)
    await sleep(1)


async def many_calls_that_need_not_wait():
    async def other():
        say("the other task runs after", calls, "calls")

    calls = 0
    event = asyncio.Event()
    event.set()
    task = create_task(other())
    for _ in range(300):
        await event.wait()
        calls += 1
    say("done after", calls)
    await task


async def a_child_that_ends_puts_its_parent_at_the_end_of_the_queue():
    async def child():
        say("child ends")

    async def bystander():
        say("bystander")
        await sleep(0)
        say("bystander again")

    task = create_task(child())
    other = create_task(bystander())
    await task
    say("main has joined")
    await other


async def ping_pong():
    ball = asyncio.Event(), asyncio.Event()

    async def player(name, mine, other):
        for _ in range(3):
            await mine.wait()
            mine.clear()
            say(name)
            other.set()

    ping = create_task(player("ping", *ball))
    pong = create_task(player("pong", *reversed(ball)))
    ball[0].set()
    await ping
    await pong


SCENARIOS = [
    spawn_order,
    yielding_alternates,
    call_soon_among_tasks,
    what_is_added_in_a_turn_runs_in_the_next,
    a_call_that_does_not_wait_does_not_pause,
    sleepers_wake_by_time,
    three_equal_deadlines,
    eight_equal_deadlines,
    a_timer_among_tasks_that_yield,
    many_calls_that_need_not_wait,
    a_child_that_ends_puts_its_parent_at_the_end_of_the_queue,
    ping_pong,
]
