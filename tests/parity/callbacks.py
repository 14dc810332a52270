"""Functions that the loop calls."""

from asyncio import create_task, get_running_loop, sleep

from harness import Failure, say, yes


async def soon_in_order():
    loop = get_running_loop()
    for n in range(3):
        loop.call_soon(say, "callback", n)
    say("none has run")
    await sleep(0)
    say("all have run")


async def a_callback_adds_another():
    loop = get_running_loop()

    def first():
        say("first")
        loop.call_soon(say, "third")

    loop.call_soon(first)
    loop.call_soon(say, "second")
    await sleep(0)
    say("main")
    await sleep(0)


async def later_by_deadline():
    loop = get_running_loop()
    loop.call_later(2, say, "two")
    loop.call_later(0.5, say, "half")
    loop.call_at(loop.time() + 1, say, "one")
    await sleep(3)


async def past_deadlines_by_deadline():
    loop = get_running_loop()
    await sleep(5)
    loop.call_soon(say, "soon")
    loop.call_at(loop.time() - 1, say, "a second ago")
    loop.call_at(loop.time() - 2, say, "two seconds ago")
    loop.call_later(0, say, "now")
    await sleep(1)


async def cancelled_in_time():
    loop = get_running_loop()
    soon = loop.call_soon(say, "soon: never")
    later = loop.call_later(1, say, "later: never")
    loop.call_later(1, say, "another")
    soon.cancel()
    later.cancel()
    await sleep(2)


async def cancelled_in_the_turn_in_which_it_is_due():
    loop = get_running_loop()

    def first():
        say("first")
        second.cancel()

    loop.call_later(1, first)
    second = loop.call_later(1, say, "second: never")
    await sleep(2)
    say("over")


async def the_first_timer_is_cancelled():
    loop = get_running_loop()
    loop.call_later(1, say, "never").cancel()
    loop.call_later(3, say, "three")
    await sleep(4)


async def a_callback_starts_a_task():
    async def child():
        say("child begins")
        await sleep(1)
        say("child ends")

    tasks = []
    loop = get_running_loop()
    loop.call_later(1, lambda: tasks.append(create_task(child())))
    await sleep(1.5)
    await tasks[0]


async def a_callback_that_fails():
    def reported(loop, context):
        say("reported:", context["exception"])

    def failing():
        say("fails")
        raise Failure("boom")

    loop = get_running_loop()
    loop.set_exception_handler(reported)
    loop.call_soon(failing)
    loop.call_soon(say, "the next one")
    await sleep(1)
    say("the loop goes on")


async def done_callbacks():
    async def child():
        await sleep(1)
        say("child ends")

    task = create_task(child())
    task.add_done_callback(lambda task: say("first; done:", yes(task.done())))
    task.add_done_callback(lambda task: say("second"))
    await sleep(2)


async def a_done_callback_comes_too_late():
    async def child():
        say("child")

    task = create_task(child())
    await sleep(1)
    task.add_done_callback(lambda task: say("called all the same"))
    say("not at once")
    await sleep(0)
    say("but in the next turn")


async def a_chain_of_callbacks_lets_others_run():
    def again(n):
        say("callback", n)
        if n < 4:
            loop.call_soon(again, n + 1)

    async def child():
        for n in range(3):
            say("task", n)
            await sleep(0)

    loop = get_running_loop()
    loop.call_soon(again, 1)
    await create_task(child())


async def a_callback_every_second():
    def tick(n):
        say("tick", n)
        if n < 3:
            loop.call_later(1, tick, n + 1)

    loop = get_running_loop()
    loop.call_later(1, tick, 1)
    await sleep(5)
    say("over")


SCENARIOS = [
    soon_in_order,
    a_callback_adds_another,
    later_by_deadline,
    past_deadlines_by_deadline,
    cancelled_in_time,
    cancelled_in_the_turn_in_which_it_is_due,
    the_first_timer_is_cancelled,
    a_callback_starts_a_task,
    a_callback_that_fails,
    done_callbacks,
    a_done_callback_comes_too_late,
    a_chain_of_callbacks_lets_others_run,
    a_callback_every_second,
]
