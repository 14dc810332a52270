"""Variables that belong to a task."""

import asyncio
from asyncio import TaskGroup, create_task, gather, sleep
from contextvars import ContextVar

from harness import say

user = ContextVar("user", default="nobody")


async def without_a_value():
    say(user.get())
    user.set("ada")
    say(user.get())


async def a_child_inherits_a_copy():
    async def child():
        say("child sees", user.get())
        user.set("grace")
        say("child has", user.get())

    user.set("ada")
    await create_task(child())
    say("main still has", user.get())


async def what_the_parent_sets_later_is_not_seen():
    async def child():
        await sleep(1)
        say("child sees", user.get())

    user.set("ada")
    task = create_task(child())
    user.set("grace")
    await task


async def interleaved_tasks_do_not_mix():
    async def handle(name):
        user.set(name)
        for _ in range(2):
            await sleep(1)
            say(name, "is", user.get())

    await gather(handle("ada"), handle("grace"))
    say("main is", user.get())


async def a_call_is_no_task():
    async def call():
        user.set("grace")

    user.set("ada")
    await call()
    say(user.get())


async def children_of_a_group():
    async def child():
        say("child sees", user.get())

    user.set("ada")
    async with TaskGroup() as group:
        group.create_task(child())
        user.set("grace")
        group.create_task(child())


async def grandchildren():
    async def grandchild():
        say("grandchild sees", user.get())

    async def child():
        user.set("grace")
        await create_task(grandchild())

    user.set("ada")
    await create_task(child())


async def callbacks_see_what_was_there():
    def callback():
        say("callback sees", user.get())
        user.set("barbara")

    user.set("ada")
    asyncio.get_running_loop().call_soon(callback)
    user.set("grace")
    await sleep(0)
    say("main has", user.get())


async def set_and_put_back():
    user.set("ada")
    token = user.set("grace")
    say(user.get())
    user.reset(token)
    say(user.get())


SCENARIOS = [
    without_a_value,
    a_child_inherits_a_copy,
    what_the_parent_sets_later_is_not_seen,
    interleaved_tasks_do_not_mix,
    a_call_is_no_task,
    children_of_a_group,
    grandchildren,
    callbacks_see_what_was_there,
    set_and_put_back,
]
