"""Random programs. A program is some tasks, and a task a list of words that `Player` understands.

    python3 tests/parity/harness.py scripts             the programs that are kept, and what asyncio makes of them
    python3 tests/parity/harness.py scripts 100 200     others

Where a cancellation meets a result, or somebody is faster at a queue, the two differ on purpose. So those words stand
between sleeps, whose ends hardly ever coincide; and who waits for a condition, which may be notified long before it has
the lock, is not cancelled.
"""

import asyncio
import random
from asyncio import CancelledError, Condition, Event, Lock, Queue, Semaphore, TaskGroup, create_task, sleep, timeout

from harness import Failure, kind, say

KEPT = 25


def make(seed):
    """A program: what its tasks do, by their names."""
    dice = random.Random(seed)
    names = "abcdef"[: dice.randint(2, 6)]
    moments = [n / 10000 for n in dice.sample(range(1, 100000), 200)]

    def pause():
        return f"sleep {moments.pop()}"

    def words(name):
        for _ in range(dice.randint(1, 6)):
            match dice.randint(0, 14):
                case 0 | 1:
                    yield from [dice.choice(["yield", pause()])] * dice.randint(1, 2)
                case 2 | 3:
                    yield from ["lock", dice.choice(["yield", pause(), "set", "wait"]), "unlock"]
                case 4 | 5:
                    yield from ["take", dice.choice(["yield", pause(), "set", "lock"]), "give", "unlock"]
                case 6:
                    yield "wait"
                case 7 | 8:
                    yield from ["set", dice.choice(["clear", "yield"])]
                case 9:
                    yield "hear"
                case 10:
                    yield from ["tell", dice.choice(["yield", "tell"])]
                case 11:
                    yield from [pause(), f"put {name}", pause()]
                case 12:
                    yield from [pause(), "get", pause()]
                case 13:
                    yield from [pause(), f"limit {moments.pop()} {dice.choice(['wait', 'lock', 'take'])}", "unlock", "give", pause()]
                case 14:
                    yield from [pause(), f"cancel {dice.choice(names)}", pause()]

    def helper():
        """Most of those who wait are let go in the end."""
        for _ in range(8):
            yield from [pause(), dice.choice(["set", "set", "clear"]), "tell"]

    program = {name: list(words(name)) for name in names} | {"z": list(helper())}
    for words in program.values():
        for at, word in enumerate(words):
            if word.startswith("cancel") and "hear" in program[word[-1]]:
                words[at] = "yield"
    return program


class Player:
    """Runs the tasks of a program, which share a lock, a condition, an event, a semaphore and a queue."""

    def __init__(self, program):
        self.program = program
        self.lock = Lock()
        self.condition = Condition(self.lock)
        self.event = Event()
        self.semaphore = Semaphore(1)
        self.queue = Queue(1)
        self.locked, self.taken = set(), set()
        self.tidying = {}

    async def play(self):
        self.tasks = {name: create_task(self.task(name)) for name in self.program if name.islower()}
        await asyncio.wait(list(self.tasks.values()))

    async def task(self, name):
        try:
            for word in self.program[name]:
                await self.word(name, word)
                say(name, word)
        except CancelledError:
            say(name, "is cancelled")
            if name in self.tidying:
                await undisturbed(self.tidying[name])
                say(name, "has tidied up")
            raise
        except Failure:
            say(name, "fails")
            raise
        finally:
            await self.word(name, "unlock")
            await self.word(name, "give")
        say(name, "ends")

    async def word(self, name, word):
        match word.split():
            case ["yield"]:
                await sleep(0)
            case ["sleep", time]:
                await sleep(float(time))
            case ["lock"]:
                if name not in self.locked:
                    await self.lock.acquire()
                    self.locked.add(name)
            case ["unlock"]:
                if name in self.locked:
                    self.locked.remove(name)
                    self.lock.release()
            case ["take"]:
                if name not in self.taken:
                    await self.semaphore.acquire()
                    self.taken.add(name)
            case ["give"]:
                if name in self.taken:
                    self.taken.remove(name)
                    self.semaphore.release()
            case ["wait"]:
                await self.event.wait()
            case ["set"]:
                self.event.set()
            case ["clear"]:
                self.event.clear()
            case ["hear"]:
                await self.word(name, "lock")
                await self.condition.wait()
                await self.word(name, "unlock")
            case ["tell"]:
                await self.word(name, "lock")
                self.condition.notify()
                await self.word(name, "unlock")
            case ["put", item]:
                await self.queue.put(item)
            case ["get"]:
                say(name, "got", await self.queue.get())
            case ["limit", time, *inner]:
                try:
                    async with timeout(float(time)):
                        await self.word(name, " ".join(inner))
                except TimeoutError:
                    say(name, "is too late")
            case ["cancel", other]:
                if other != name and other in self.tasks:
                    self.tasks[other].cancel()
            case ["tidy", time]:
                self.tidying[name] = float(time)
            case ["fail"]:
                raise Failure(name)
            case ["group", *members]:
                try:
                    async with TaskGroup() as group:
                        for member in members:
                            self.tasks[member] = group.create_task(self.task(member))
                except* Failure as error:
                    say(name, "has lost", *sorted(kind(error).split(" + ")))


async def undisturbed(time):
    """Sleeps, whoever cancels: corio's `shield`."""
    sleeper = create_task(sleep(time))
    while not sleeper.done():
        try:
            await asyncio.shield(sleeper)
        except CancelledError:
            pass


def scenario(seed, program):
    """Like a function that is written down, and with the program as its source."""

    async def play():
        await Player(program).play()

    play.__name__ = str(seed)
    play.source = [f"{name}: {'; '.join(words)}" for name, words in program.items()]
    return play


def others(first, end):
    return [scenario(seed, make(seed)) for seed in range(int(first), int(end))]


SCENARIOS = others(0, KEPT)
