"""Random programs with groups in groups, limits around them, failures and cancellations.

The words are those of `scripts`, and three more: `fail`, `group A B`, which runs tasks of these names in a group, and
`tidy 2.5`, after which a task that is cancelled cleans up for so long. A program has members that fail or members that
tidy up, and not both: a cancellation that comes while a failed group ends is lost before Python 3.13.

In which order the members of a group are told to end, the two do not promise. So the lines of one moment are compared
without their order.
"""

import random

from scripts import scenario

KEPT = 15


def make(seed):
    """A program. Tasks with small letters are there from the beginning, the others are members of groups."""
    dice = random.Random(seed)
    moments = [n / 10000 for n in dice.sample(range(1, 100000), 200)]
    free = list("ZYXWVUTSRQPONMLKJIHGFEDCBA")
    program = {}
    tidy = dice.random() < 0.5

    def pause():
        return f"sleep {moments.pop()}"

    def group(depth):
        members = [free.pop() for _ in range(min(len(free), dice.randint(1, 3)))]
        for name in members:
            program[name] = list(words(name, depth + 1))
        return " ".join(["group", *members])

    def words(name, depth):
        if depth and tidy and dice.random() < 0.5:
            yield f"tidy {moments.pop()}"
        for _ in range(dice.randint(1, 4)):
            match dice.randint(0, 11):
                case 0 | 1 | 2:
                    yield pause()
                case 3:
                    yield from ["wait", pause()]
                case 4:
                    yield from [pause(), dice.choice(["set", "clear"])]
                case 5 | 6 | 7 if depth < 3 and len(free) > 3:
                    yield from [group(depth), pause()]
                case 8 | 9 if depth < 3 and len(free) > 3:
                    yield from [f"limit {moments.pop()} {group(depth)}", pause()]
                case 10:
                    yield from [f"limit {moments.pop()} wait", pause()]
                case 11:
                    yield from [pause(), "wait" if tidy else "fail"] if depth else [pause(), "cancel", pause()]

    for name in "abcd"[: dice.randint(2, 4)]:
        program[name] = list(words(name, 0))
    program["z"] = [word for _ in range(4) for word in (pause(), dice.choice(["set", "clear", "cancel"]))]
    for words in program.values():
        for at, word in enumerate(words):
            if word == "cancel":
                words[at] = "cancel " + dice.choice(list(program))
    return program


def others(first, end):
    return [scenario(seed, make(seed)) for seed in range(int(first), int(end))]


SCENARIOS = others(0, KEPT)
