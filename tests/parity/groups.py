"""Groups of tasks that end together."""

from asyncio import CancelledError, TaskGroup, create_task, current_task, sleep, timeout

from harness import Failure, kind, say, yes


async def child(name, delay):
    """Tells when it begins and when it ends, however that comes."""
    say(name, "begins")
    try:
        await sleep(delay)
        say(name, "is done")
    except CancelledError:
        say(name, "is cancelled")
        raise


async def fail(name, delay):
    await sleep(delay)
    say(name, "fails")
    raise Failure(name)


async def three_children():
    async with TaskGroup() as group:
        group.create_task(child("a", 1))
        group.create_task(child("b", 2))
        group.create_task(child("c", 3))
        say("the body is done")
    say("all are done")


async def results():
    async def square(n):
        await sleep(n)
        return n * n

    async with TaskGroup() as group:
        two, three = group.create_task(square(2)), group.create_task(square(3))
    say(two.result() + three.result())


async def an_empty_group():
    async with TaskGroup():
        say("nothing to do")
    say("left at once")


async def children_of_children():
    async def parent():
        say("parent")
        group.create_task(child("late child", 2))
        await sleep(1)
        say("parent ends")

    async with TaskGroup() as group:
        group.create_task(parent())
    say("all are done")


async def a_child_fails():
    try:
        async with TaskGroup() as group:
            group.create_task(child("a", 5))
            group.create_task(fail("b", 1))
            group.create_task(child("c", 5))
            try:
                await sleep(5)
            except CancelledError:
                say("the body is cancelled")
                raise
    except* Failure as error:
        say("the group:", kind(error))
    say("requests:", current_task().cancelling())
    await sleep(1)
    say("main goes on")


async def a_child_fails_while_the_group_waits():
    try:
        async with TaskGroup() as group:
            group.create_task(child("a", 5))
            group.create_task(fail("b", 1))
    except* Failure as error:
        say("the group:", kind(error))


async def a_sibling_that_is_about_to_begin():
    try:
        async with TaskGroup() as group:
            group.create_task(fail("a", 0))
            await sleep(0)
            group.create_task(child("b", 0))
    except* Failure as error:
        say("the group:", kind(error))


async def slow_clean_up_is_waited_for():
    async def slow():
        try:
            await sleep(9)
        finally:
            await sleep(3)
            say("cleaned up")

    try:
        async with TaskGroup() as group:
            group.create_task(slow())
            group.create_task(fail("b", 1))
    except* Failure as error:
        say("the group:", kind(error))


async def two_failures():
    async def worse():
        try:
            await sleep(9)
        except CancelledError:
            raise Failure("worse")

    try:
        async with TaskGroup() as group:
            group.create_task(worse())
            group.create_task(fail("bad", 1))
    except* Failure as error:
        say("the group:", kind(error))


async def the_body_fails():
    try:
        async with TaskGroup() as group:
            group.create_task(child("a", 5))
            await sleep(1)
            raise Failure("body")
    except* Failure as error:
        say("the group:", kind(error))


async def the_body_and_a_child_fail():
    async def worse():
        try:
            await sleep(9)
        except CancelledError:
            raise Failure("child")

    try:
        async with TaskGroup() as group:
            group.create_task(worse())
            await sleep(1)
            raise Failure("body")
    except* Failure as error:
        say("the group:", kind(error))


async def one_failure_alone():
    try:
        async with TaskGroup() as group:
            group.create_task(fail("boom", 1))
    except ExceptionGroup as error:
        say("a group of", len(error.exceptions))
    except Failure as error:
        say("itself:", error)


async def a_child_is_cancelled():
    async with TaskGroup() as group:
        a = group.create_task(child("a", 5))
        group.create_task(child("b", 2))
        await sleep(1)
        a.cancel()
    say("all are done; a cancelled:", yes(a.cancelled()))


async def the_owner_is_cancelled():
    async def owner():
        async with TaskGroup() as group:
            group.create_task(child("a", 5))
            group.create_task(child("b", 5))

    task = create_task(owner())
    await sleep(1)
    task.cancel()
    try:
        await task
    except CancelledError as error:
        say("owner:", kind(error))


async def the_owner_is_cancelled_and_a_child_fails():
    async def worse():
        try:
            await sleep(9)
        except CancelledError:
            raise Failure("clean-up")

    async def owner():
        async with TaskGroup() as group:
            group.create_task(worse())

    task = create_task(owner())
    await sleep(1)
    task.cancel()
    try:
        await task
    except* Failure as error:
        say("owner:", kind(error))


async def the_owner_is_cancelled_while_a_failed_group_ends():
    async def slow():
        try:
            await sleep(9)
        finally:
            await sleep(3)
            say("cleaned up")

    async def owner():
        try:
            async with TaskGroup() as group:
                group.create_task(slow())
                group.create_task(fail("b", 1))
        except* Failure as error:
            say("the group:", kind(error))
        await sleep(1)
        say("owner goes on")

    task = create_task(owner())
    await sleep(2)
    task.cancel()
    try:
        await task
    except CancelledError as error:
        say("owner:", kind(error))


async def nested():
    async with TaskGroup() as outer:
        outer.create_task(child("outer", 3))
        async with TaskGroup() as inner:
            inner.create_task(child("inner", 1))
        say("the inner group is done")
    say("the outer group is done")


async def an_inner_group_fails():
    try:
        async with TaskGroup() as outer:
            outer.create_task(child("outer", 3))
            async with TaskGroup() as inner:
                inner.create_task(fail("inner", 1))
    except* Failure as error:
        say("the outer group:", kind(error))


async def an_inner_failure_is_handled():
    async with TaskGroup() as outer:
        outer.create_task(child("outer", 3))
        try:
            async with TaskGroup() as inner:
                inner.create_task(fail("inner", 1))
        except* Failure as error:
            say("handled:", kind(error))
    say("the outer group is done")


async def an_outer_child_fails_while_the_body_is_in_an_inner_group():
    try:
        async with TaskGroup() as outer:
            outer.create_task(fail("outer", 1))
            try:
                async with TaskGroup() as inner:
                    inner.create_task(child("inner", 5))
            except CancelledError:
                say("the inner group is cancelled")
                raise
    except* Failure as error:
        say("the outer group:", kind(error))


async def a_limit_around_a_group():
    try:
        async with timeout(1):
            async with TaskGroup() as group:
                group.create_task(child("a", 5))
                group.create_task(child("b", 5))
    except TimeoutError as error:
        say(kind(error))


async def a_limit_in_a_child():
    async def limited():
        async with timeout(1):
            await sleep(5)

    try:
        async with TaskGroup() as group:
            group.create_task(limited())
            group.create_task(child("b", 5))
    except* TimeoutError as error:
        say("the group:", kind(error))


async def the_body_joins_a_child_that_fails():
    try:
        async with TaskGroup() as group:
            task = group.create_task(fail("a", 1))
            try:
                await task
            except Failure as error:
                say("the body caught:", kind(error))
                raise
            except CancelledError as error:
                say("the body is", kind(error))
                raise
    except* Failure as error:
        say("the group:", kind(error))


async def groups_side_by_side():
    async def pair(name, delay):
        async with TaskGroup() as group:
            group.create_task(child(name + "1", delay))
            group.create_task(child(name + "2", delay + 1))

    async with TaskGroup() as group:
        group.create_task(pair("a", 1))
        group.create_task(pair("b", 0.5))


SCENARIOS = [
    three_children,
    results,
    an_empty_group,
    children_of_children,
    a_child_fails,
    a_child_fails_while_the_group_waits,
    a_sibling_that_is_about_to_begin,
    slow_clean_up_is_waited_for,
    two_failures,
    the_body_fails,
    the_body_and_a_child_fail,
    one_failure_alone,
    a_child_is_cancelled,
    the_owner_is_cancelled,
    the_owner_is_cancelled_and_a_child_fails,
    the_owner_is_cancelled_while_a_failed_group_ends,
    nested,
    an_inner_group_fails,
    an_inner_failure_is_handled,
    an_outer_child_fails_while_the_body_is_in_an_inner_group,
    a_limit_around_a_group,
    a_limit_in_a_child,
    the_body_joins_a_child_that_fails,
    groups_side_by_side,
]
