"""Small whole programs, of the kinds that tutorials about asyncio show."""

import asyncio
from asyncio import CancelledError, create_task, gather, get_running_loop, sleep, wait_for

from harness import Failure, kind, say


async def three_greetings():
    async def greet(name):
        say(f"Hello, {name}!")
        await sleep(1)
        say(f"Goodbye, {name}!")

    tasks = [create_task(greet(name)) for name in ("Ada", "Grace", "Barbara")]
    for task in tasks:
        await task
    say("all greeted")


async def three_factorials():
    async def factorial(name, number):
        result = 1
        for n in range(2, number + 1):
            say(f"{name}: {result} times {n}")
            await sleep(n)
            result *= n
        say(f"{name}: {number}! is {result}")
        return result

    say(*await gather(factorial("A", 2), factorial("B", 3), factorial("C", 4)))


async def one_of_three_fails():
    async def double(n):
        if n == 2:
            raise Failure("2 will not be doubled")
        await sleep(1)
        return n * 2

    results = await gather(double(1), double(2), double(3), return_exceptions=True)
    for result in results:
        say(kind(result) if isinstance(result, BaseException) else result)


async def a_job_that_takes_too_long():
    async def job():
        await sleep(3)
        return "finished"

    try:
        say(await wait_for(job(), 2))
    except TimeoutError:
        say("the job took too long")


async def a_job_that_is_called_off():
    async def job():
        try:
            for n in range(10):
                say("step", n)
                await sleep(1)
        except CancelledError:
            say("called off")
            raise

    task = create_task(job())
    await sleep(3.5)
    task.cancel()
    try:
        await task
    except CancelledError:
        say("it is over")


async def a_producer_and_a_consumer():
    async def producer():
        for n in range(5):
            await queue.put(f"item {n}")
            say("produced", n)
            await sleep(0.5)

    async def consumer():
        while (item := await queue.get()) is not None:
            say("consumed", item)
            await sleep(0.75)

    queue = asyncio.Queue()
    producing, consuming = create_task(producer()), create_task(consumer())
    await producing
    await queue.put(None)
    await consuming


async def one_end_marker_for_two_consumers():
    async def producer():
        for n in range(4):
            await queue.put(n)
            await sleep(0.5)
        await queue.put(None)

    async def consumer(name):
        while (item := await queue.get()) is not None:
            say("consumer", name, "got", item)
        say("consumer", name, "ends")

    queue = asyncio.Queue()
    await gather(producer(), consumer(1), consumer(2))


async def an_end_marker_for_each_consumer():
    async def producer():
        for n in range(4):
            await queue.put(n)
            await sleep(0.5)
        await queue.put(None)
        await queue.put(None)

    async def consumer(name):
        while (item := await queue.get()) is not None:
            say("consumer", name, "got", item)
        say("consumer", name, "ends")

    queue = asyncio.Queue()
    await gather(producer(), consumer(1), consumer(2))


async def fetches_two_at_a_time():
    async def fetch(page):
        async with limit:
            say("fetching", page)
            await sleep(1)
            say("fetched", page)

    limit = asyncio.Semaphore(2)
    await gather(*[fetch(f"page {n}") for n in range(5)])


async def a_value_that_two_would_insert():
    store = {}

    async def insert(who, guard):
        async with guard:
            seen = store.get("key")
            await sleep(1)
            if seen is None:
                store["key"] = who
                say(who, "inserts")
            else:
                say(who, "finds", seen)

    class Nothing:
        async def __aenter__(self):
            pass

        async def __aexit__(self, *_):
            pass

    await gather(insert("a", Nothing()), insert("b", Nothing()))
    store.clear()
    lock = asyncio.Lock()
    await gather(insert("a", lock), insert("b", lock))


async def a_signal_between_tasks():
    async def waiter():
        say("waiting")
        await event.wait()
        say("going on")

    async def setter():
        await sleep(2)
        say("setting")
        event.set()

    event = asyncio.Event()
    await gather(waiter(), setter())


async def fibonacci_as_a_stream():
    async def fibonacci(count):
        a, b = 0, 1
        for _ in range(count):
            await sleep(0.5)
            yield a
            a, b = b, a + b

    async for n in fibonacci(7):
        say(n)


async def a_resource():
    class Resource:
        async def __aenter__(self):
            await sleep(1)
            say("opened")
            return self

        async def __aexit__(self, *_):
            await sleep(1)
            say("closed")

        async def work(self):
            await sleep(1)
            say("worked")

    async with Resource() as resource:
        await resource.work()
    try:
        async with Resource():
            raise Failure("boom")
    except Failure as error:
        say("caught:", kind(error))


async def a_scraper():
    pages = {"small": (1, 10), "slow": (9, 99), "big": (2, 1000)}

    async def fetch(name):
        if name not in pages:
            raise Failure("no such page")
        delay, size = pages[name]
        await sleep(delay)
        return size

    async def visit(name):
        async with limit:
            try:
                return await wait_for(fetch(name), 5)
            except TimeoutError:
                say(name, "timed out")
            except Failure as error:
                say(name, "failed:", kind(error))

    limit = asyncio.Semaphore(2)
    names = "small", "missing", "slow", "big"
    sizes = await gather(*[visit(name) for name in names])
    for name, size in zip(names, sizes):
        if size is not None:
            say(name, "has", size, "bytes")


async def a_chat():
    room = {}

    async def client(name, delay, words):
        outbox = asyncio.Queue()
        room[name] = outbox

        async def hear():
            while (word := await outbox.get()) is not None:
                say(name, "hears", word)

        hearing = create_task(hear())
        for word in words:
            await sleep(delay)
            for other in room:
                if other != name:
                    room[other].put_nowait(f"{name}: {word}")
        await sleep(1)
        del room[name]
        outbox.put_nowait(None)
        await hearing
        say(name, "leaves")

    await gather(client("ada", 1, ["hi", "bye"]), client("bob", 1.5, ["hello"]))


async def a_supervisor():
    attempts = 0

    async def service():
        nonlocal attempts
        attempts += 1
        say("start", attempts)
        await sleep(1)
        if attempts < 3:
            raise Failure(f"crash {attempts}")
        return "stable"

    while True:
        try:
            say(await create_task(service()))
            break
        except Failure as error:
            say(kind(error))
            await sleep(2**attempts)


async def a_heartbeat():
    async def beat():
        while True:
            say("beat")
            await sleep(1)

    heart = create_task(beat())
    await sleep(2.5)
    heart.cancel()
    await asyncio.wait([heart])
    say("stopped at", get_running_loop().time())


async def dining_philosophers():
    forks = [asyncio.Lock() for _ in range(3)]

    async def dine(n):
        first, second = sorted((n, (n + 1) % 3))
        async with forks[first]:
            async with forks[second]:
                say("philosopher", n, "eats")
                await sleep(1)

    await gather(*[dine(n) for n in range(3)])


SCENARIOS = [
    three_greetings,
    three_factorials,
    one_of_three_fails,
    a_job_that_takes_too_long,
    a_job_that_is_called_off,
    a_producer_and_a_consumer,
    one_end_marker_for_two_consumers,
    an_end_marker_for_each_consumer,
    fetches_two_at_a_time,
    a_value_that_two_would_insert,
    a_signal_between_tasks,
    fibonacci_as_a_stream,
    a_resource,
    a_scraper,
    a_chat,
    a_supervisor,
    a_heartbeat,
    dining_philosophers,
]
