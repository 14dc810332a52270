"""Functions that pause, without a loop."""

from harness import Failure, kind, say


def started_and_sent():
    def echo():
        heard = yield "bar"
        while heard:
            say("received:", heard)
            heard = yield f"echo: {heard}"
        return "silence"

    generator = echo()
    say(next(generator))
    say(generator.send("baz"))
    say(generator.send("foo-bar-baz"))
    try:
        generator.send("")
    except StopIteration as stop:
        say("returned:", stop.value)


def nothing_runs_before_it_is_started():
    def body():
        say("the body begins")
        yield 1

    generator = body()
    say("made")
    say(next(generator))


def a_for_loop():
    def count():
        for n in range(3):
            say("about to yield", n)
            yield n
        say("the end")

    for n in count():
        say("got", n)


def a_loop_that_is_left():
    def count():
        n = 0
        try:
            while True:
                yield n
                n += 1
        finally:
            say("closed at", n)

    generator = count()
    for n in generator:
        say(n)
        if n == 2:
            break
    generator.close()
    say("over")


def the_returned_value():
    def total():
        sum = 0
        for n in 1, 2, 3:
            sum += n
            yield n
        return sum

    generator = total()
    while True:
        try:
            say(next(generator))
        except StopIteration as stop:
            say("total", stop.value)
            break


def an_error_thrown_in():
    def body():
        while True:
            try:
                yield "ready"
            except Failure as error:
                say("inside:", kind(error))

    generator = body()
    say(next(generator))
    say(generator.throw(Failure("boom")))
    generator.close()


def an_error_thrown_in_and_not_caught():
    def body():
        yield 1

    generator = body()
    say(next(generator))
    try:
        generator.throw(Failure("boom"))
    except Failure as error:
        say("outside:", kind(error))
    say("left:", len(list(generator)))


def an_error_of_the_body():
    def body():
        yield 1
        raise Failure("boom")

    generator = body()
    try:
        for n in generator:
            say(n)
    except Failure as error:
        say("caught:", kind(error))
    say("left:", len(list(generator)))


def closed_before_it_began():
    def body():
        say("never")
        yield 1

    generator = body()
    generator.close()
    generator.close()
    say("left:", len(list(generator)))


def clean_up_when_it_is_closed():
    def body():
        try:
            yield 1
        finally:
            say("cleaned up")

    generator = body()
    say(next(generator))
    generator.close()
    say("closed")


def sent_before_it_began():
    def body():
        say("got", (yield 1))

    generator = body()
    try:
        generator.send("too early")
    except TypeError:
        say("refused")
    say(next(generator))


def sent_after_its_end():
    def body():
        yield 1

    generator = body()
    next(generator)
    try:
        generator.send(None)
    except StopIteration:
        say("ended")
    try:
        generator.send(None)
    except StopIteration:
        say("nothing more")


def delegating():
    def inner():
        say("inner got", (yield "a"))
        say("inner got", (yield "b"))
        return "result"

    def outer():
        yield "before"
        say("inner returned", (yield from inner()))
        yield "after"

    generator = outer()
    say(next(generator))
    say(generator.send(0))
    say(generator.send(1))
    say(generator.send(2))
    try:
        generator.send(3)
    except StopIteration:
        say("the end")


def delegating_an_error():
    def inner():
        try:
            yield "inner"
        except Failure as error:
            say("inner caught:", kind(error))
        return "all is well"

    def outer():
        say("inner returned:", (yield from inner()))

    generator = outer()
    say(next(generator))
    try:
        generator.throw(Failure("boom"))
    except StopIteration:
        say("the end")


def delegating_a_close():
    def inner():
        try:
            yield 1
        finally:
            say("inner closed")

    def outer():
        try:
            yield from inner()
        finally:
            say("outer closed")

    generator = outer()
    say(next(generator))
    generator.close()


def two_generators_in_turn():
    def letters():
        for letter in "abc":
            yield letter

    def numbers():
        for n in 1, 2, 3:
            yield n

    for letter, n in zip(letters(), numbers()):
        say(letter, n)


def a_recursive_generator():
    def walk(tree):
        if isinstance(tree, int):
            yield tree
        else:
            for branch in tree:
                yield from walk(branch)

    say(*walk([1, [2, [3, 4]], 5]))


SCENARIOS = [
    started_and_sent,
    nothing_runs_before_it_is_started,
    a_for_loop,
    a_loop_that_is_left,
    the_returned_value,
    an_error_thrown_in,
    an_error_thrown_in_and_not_caught,
    an_error_of_the_body,
    closed_before_it_began,
    clean_up_when_it_is_closed,
    sent_before_it_began,
    sent_after_its_end,
    delegating,
    delegating_an_error,
    delegating_a_close,
    two_generators_in_turn,
    a_recursive_generator,
]
