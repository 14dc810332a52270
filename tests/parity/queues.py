"""Queues."""

import asyncio
from asyncio import LifoQueue, PriorityQueue, Queue, create_task, gather, sleep, wait_for

from harness import kind, say, yes


async def first_in_first_out():
    queue = Queue()
    for n in 3, 1, 2:
        await queue.put(n)
    say("length", queue.qsize())
    while not queue.empty():
        say(await queue.get())


async def last_in_first_out():
    queue = LifoQueue()
    for n in 3, 1, 2:
        await queue.put(n)
    while not queue.empty():
        say(await queue.get())


async def the_smallest_first():
    queue = PriorityQueue()
    for item in (3, "c"), (1, "a"), (2, "b"):
        await queue.put(item)
    while not queue.empty():
        n, name = await queue.get()
        say(n, name)


async def a_getter_waits():
    async def getter():
        say("waits")
        say("got", await queue.get())

    queue = Queue()
    task = create_task(getter())
    await sleep(2)
    await queue.put("x")
    say("put; nobody has run")
    await task


async def a_full_queue_makes_the_producer_wait():
    async def producer():
        for n in range(4):
            await queue.put(n)
            say("put", n)

    queue = Queue(2)
    task = create_task(producer())
    for _ in range(4):
        await sleep(1)
        say("got", await queue.get())
    await task


async def without_waiting():
    queue = Queue(1)
    try:
        queue.get_nowait()
    except asyncio.QueueEmpty:
        say("empty")
    queue.put_nowait("a")
    try:
        queue.put_nowait("b")
    except asyncio.QueueFull:
        say("full:", yes(queue.full()))
    say(queue.get_nowait())


async def what_need_not_wait_does_not_pause():
    async def other():
        say("other")

    queue = Queue()
    task = create_task(other())
    await queue.put(1)
    say(await queue.get())
    await task


async def getters_are_served_in_order():
    async def getter(name):
        say(name, "got", await queue.get())

    queue = Queue()
    tasks = [create_task(getter(name)) for name in "abc"]
    await sleep(1)
    for n in range(3):
        queue.put_nowait(n)
    await gather(*tasks)


async def putters_are_served_in_order():
    async def putter(name):
        await queue.put(name)
        say(name, "is in")

    queue = Queue(1)
    tasks = [create_task(putter(name)) for name in "abcd"]
    for _ in range(4):
        await sleep(1)
        say("got", await queue.get())
    await gather(*tasks)


async def join_waits_for_all_that_was_put():
    async def worker():
        while True:
            item = await queue.get()
            await sleep(item)
            say("done", item)
            queue.task_done()

    queue = Queue()
    worker = create_task(worker())
    for n in 2, 1:
        queue.put_nowait(n)
    await queue.join()
    say("joined")
    worker.cancel()


async def join_of_a_fresh_queue():
    queue = Queue()
    await queue.join()
    say("at once")


async def done_too_often():
    queue = Queue()
    await queue.put(1)
    await queue.get()
    queue.task_done()
    try:
        queue.task_done()
    except ValueError:
        say("refused")


async def three_workers():
    async def worker(name):
        while True:
            delay = await queue.get()
            await sleep(delay)
            say(name, "slept for", delay)
            queue.task_done()

    queue = Queue()
    for delay in 1, 3, 2, 1.5, 1.25, 0.25:
        queue.put_nowait(delay)
    workers = [create_task(worker(f"worker-{n}")) for n in range(3)]
    await queue.join()
    for task in workers:
        task.cancel()
    results = await gather(*workers, return_exceptions=True)
    say(", ".join(kind(result) for result in results))


async def a_cancelled_getter_takes_nothing():
    async def getter(name):
        say(name, "got", await queue.get())

    queue = Queue()
    a, b = create_task(getter("a")), create_task(getter("b"))
    await sleep(1)
    a.cancel()
    await sleep(1)
    await queue.put("x")
    await b
    say("left", queue.qsize())


async def a_getter_is_cancelled_in_the_turn_of_its_item():
    async def getter():
        item = await queue.get()
        say("the getter has", item)
        await sleep(1)
        say("never")

    queue = Queue()
    task = create_task(getter())
    await sleep(1)
    await queue.put("x")
    task.cancel()
    await asyncio.wait([task])
    say("left in the queue:", queue.qsize())


async def a_cancelled_putter_puts_nothing():
    async def putter(name):
        await queue.put(name)

    queue = Queue(1)
    await queue.put("first")
    a, b = create_task(putter("a")), create_task(putter("b"))
    await sleep(1)
    a.cancel()
    await sleep(1)
    say(await queue.get(), await queue.get())
    await b
    say("left", queue.qsize())


async def a_limit_for_get():
    queue = Queue()
    try:
        await wait_for(queue.get(), 1)
    except TimeoutError as error:
        say(kind(error))
    await queue.put("x")
    say(await queue.get())


async def somebody_else_is_faster():
    async def getter(name):
        say(name, "got", await queue.get())

    queue = Queue()
    tasks = [create_task(getter(name)) for name in "ab"]
    await sleep(1)
    queue.put_nowait(1)
    say("main took", queue.get_nowait())
    await sleep(1)
    queue.put_nowait(2)
    queue.put_nowait(3)
    await gather(*tasks)


async def a_relay():
    async def stage(source, target, change):
        while (item := await source.get()) is not None:
            await target.put(change(item))
        await target.put(None)

    first, second, third = Queue(1), Queue(1), Queue(1)
    stages = [
        create_task(stage(first, second, lambda n: n + 1)),
        create_task(stage(second, third, lambda n: n * 10)),
    ]

    async def feed():
        for n in range(3):
            await sleep(1)
            await first.put(n)
        await first.put(None)

    feeder = create_task(feed())
    while (item := await third.get()) is not None:
        say(item)
    await gather(feeder, *stages)


SCENARIOS = [
    first_in_first_out,
    last_in_first_out,
    the_smallest_first,
    a_getter_waits,
    a_full_queue_makes_the_producer_wait,
    without_waiting,
    what_need_not_wait_does_not_pause,
    getters_are_served_in_order,
    putters_are_served_in_order,
    join_waits_for_all_that_was_put,
    join_of_a_fresh_queue,
    done_too_often,
    three_workers,
    a_cancelled_getter_takes_nothing,
    a_getter_is_cancelled_in_the_turn_of_its_item,
    a_cancelled_putter_puts_nothing,
    a_limit_for_get,
    somebody_else_is_faster,
    a_relay,
]
