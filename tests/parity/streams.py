"""Generators that wait, in a task."""

from asyncio import CancelledError, create_task, sleep, timeout

from harness import Failure, kind, say


async def a_generator_that_waits():
    async def ticks():
        for n in range(3):
            await sleep(1)
            yield n

    async for n in ticks():
        say(n)


async def others_run_while_a_generator_waits():
    async def ticks():
        for n in range(3):
            await sleep(1)
            yield n

    async def other():
        for n in range(3):
            await sleep(0.75)
            say("other", n)

    task = create_task(other())
    async for n in ticks():
        say("tick", n)
    await task


async def both_sides_wait():
    async def producer():
        for n in range(3):
            say("producing", n)
            await sleep(1)
            yield n

    async for n in producer():
        say("consuming", n)
        await sleep(0.5)


async def the_consumer_is_cancelled():
    async def ticks():
        try:
            while True:
                await sleep(1)
                yield
        finally:
            say("the generator cleans up")

    async def consumer():
        n = 0
        try:
            async for _ in ticks():
                n += 1
                say(n)
        finally:
            say("the consumer ends")

    task = create_task(consumer())
    await sleep(2.5)
    task.cancel()
    try:
        await task
    except CancelledError as error:
        say(kind(error))


async def an_error_in_a_generator_that_waits():
    async def ticks():
        yield 1
        await sleep(1)
        raise Failure("boom")

    try:
        async for n in ticks():
            say(n)
    except Failure as error:
        say("caught:", kind(error))


async def a_generator_that_waits_is_closed():
    async def ticks():
        try:
            while True:
                await sleep(1)
                yield "tick"
        finally:
            await sleep(1)
            say("closed")

    generator = ticks()
    async for tick in generator:
        say(tick)
        break
    await generator.aclose()
    say("main goes on")


async def a_generator_is_left_by_break():
    async def ticks():
        try:
            while True:
                await sleep(1)
                yield "tick"
        finally:
            say("closed")

    async for tick in ticks():
        say(tick)
        break
    say("the loop is left")
    await sleep(1)
    say("main goes on")


async def a_yield_inside_a_limit():
    async def numbers():
        async with timeout(2):
            for n in range(3):
                yield n

    try:
        async for n in numbers():
            say(n)
            await sleep(1.5)
    except CancelledError:
        say("the limit of the generator cancels whoever uses it")


async def a_pipeline():
    async def numbers():
        for n in range(5):
            await sleep(1)
            yield n

    async def odd(source):
        async for n in source:
            if n % 2:
                yield n

    async def squares(source):
        async for n in source:
            yield n * n

    async for n in squares(odd(numbers())):
        say(n)


SCENARIOS = [
    a_generator_that_waits,
    others_run_while_a_generator_waits,
    both_sides_wait,
    the_consumer_is_cancelled,
    an_error_in_a_generator_that_waits,
    a_generator_that_waits_is_closed,
    a_generator_is_left_by_break,
    a_yield_inside_a_limit,
    a_pipeline,
]
