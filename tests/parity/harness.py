"""The asyncio half of the parity scenarios: what they print, and the clock that they run on.

    python3 tests/parity/harness.py                     the transcripts of all areas
    python3 tests/parity/harness.py groups              of one
    python3 tests/parity/harness.py groups nested       of one scenario

Each line of a transcript begins with the time on the loop's clock. The clock is virtual: it stands still while
anything is ready, and jumps to the next timer when nothing is, so every run is the same on every machine.
"""

import asyncio
import importlib
import inspect
import itertools
import selectors
import sys

AREAS = [
    "order",
    "callbacks",
    "tasks",
    "cancellation",
    "timeouts",
    "groups",
    "gathering",
    "waiting",
    "locks",
    "queues",
    "futures",
    "contexts",
    "threads",
    "generators",
    "streams",
    "network",
    "programs",
    "scripts",
    "trees",
]


class Stuck(Exception):
    """Nothing is ready, no timer is armed, and no other thread will report: asyncio would wait for ever."""


class Jumping(selectors.DefaultSelector):
    """A selector that does not wait for time to pass."""

    def __init__(self):
        super().__init__()
        self.nanos = 0
        self.outstanding = 0  # threads that will report back
        self.stuck = False

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.outstanding or len(self.get_map()) > 1:  # the first is the loop's own
            return super().select(timeout)
        if timeout is None:
            self.stuck = True
            raise Stuck
        self.nanos += round(timeout * 1e9)
        return []


class Task(asyncio.Task):
    """asyncio keeps tasks in sets, so it cancels the members of a group in an order that is nobody's. With these
    numbers for hashes a small set goes by age, and is the same in every run."""

    def __init__(self, *arguments, **options):
        self.number = next(options["loop"].numbers)
        super().__init__(*arguments, **options)

    def __hash__(self):
        return self.number


class Loop(asyncio.SelectorEventLoop):
    """asyncio's own loop, on a virtual clock."""

    def __init__(self):
        self.clock = Jumping()
        super().__init__(self.clock)
        self._clock_resolution = 1e-9
        self.numbers = itertools.count(1)
        self.set_task_factory(lambda loop, body, context=None: Task(body, loop=loop, context=context))

    def time(self):
        return self.clock.nanos / 1e9

    def expect(self):
        """Another thread is at work: the clock does not jump before `expected` is called."""
        self.clock.outstanding += 1

    def expected(self):
        self.clock.outstanding -= 1

    def run_in_executor(self, executor, function, *args):
        self.expect()
        future = super().run_in_executor(executor, function, *args)
        future.add_done_callback(lambda _: self.expected())
        return future

    async def shutdown_default_executor(self):
        self.expect()
        await super().shutdown_default_executor()
        self.expected()


class Failure(Exception):
    """What goes wrong in a scenario."""


loop = None
lines = []


def say(*words):
    if not (loop and loop.clock.stuck):  # what the end of a run that is stuck brings is not compared
        lines.append(f"{loop.time() if loop else 0:5.2f}  " + " ".join(map(str, words)))


def kind(error):
    """An error, in words that both languages share."""
    match error:
        case asyncio.CancelledError():
            return "cancelled"
        case TimeoutError():
            return "timed out"
        case BaseExceptionGroup():
            return " + ".join(map(kind, error.exceptions))
        case _:
            return str(error)


def yes(flag):
    return "yes" if flag else "no"


def make_loop():
    global loop
    loop = Loop()
    return loop


def play(scenario):
    """What a scenario prints. How it ends, if not well, is the last line."""
    global loop
    loop = None
    lines.clear()
    end = None
    try:
        if inspect.iscoroutinefunction(scenario):
            with asyncio.Runner(loop_factory=make_loop) as runner:
                runner.run(scenario())
        else:
            scenario()
    except Stuck:
        end = "stuck: everything waits, and for nothing"
    except BaseException as error:
        end = f"failed: {kind(error)}"
    loop = None
    return lines + ([f"       {end}"] if end else [])


def show(area, names):
    print("# Python {}.{}".format(*sys.version_info))
    module = importlib.import_module(area)
    if hasattr(module, "others"):  # random programs go by numbers
        chosen = module.others(*names) if names else module.SCENARIOS
    else:
        chosen = [scenario for scenario in module.SCENARIOS if not names or scenario.__name__ in names]
    for scenario in chosen:
        print(f"\n== {scenario.__name__}")
        print("\n".join(getattr(scenario, "source", []) + play(scenario)))


def main(arguments):
    if arguments:
        area, *names = arguments
        print(f"### {area}")
        show(area, names)
        return
    for area in AREAS:
        print(f"### {area}")
        show(area, [])


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.modules["harness"] = sys.modules["__main__"]
    main(sys.argv[1:])
