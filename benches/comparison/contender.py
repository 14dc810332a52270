"""The workloads of corio-benches by asyncio, as it comes with CPython: `contender.py WORKLOAD ARG...`."""

import asyncio
import os
import sys
import time

import hex as hex_server

BATCH = 1_000
FEW = 64
DAY = 86_400


def report(workload, **figures):
    print(f"workload={workload}", *(f"{key}={value:.3f}" for key, value in figures.items()), flush=True)


def memory():
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return [int(lines[key].split()[0]) * 1024 for key in ("VmRSS", "VmPTE", "VmSize")]


async def turn(times):
    for _ in range(times):
        await asyncio.sleep(0)


async def day(_times):
    await asyncio.sleep(DAY)


async def below(depth, pause, times):
    if depth == 0:
        return await pause(times)
    held = bytes(64)
    await below(depth - 1, pause, times)
    return held


async def together(workload, operations, tasks, task):
    tasks = [asyncio.create_task(task()) for _ in range(tasks)]
    await asyncio.sleep(0)  # all have paused once
    start = time.process_time_ns()
    for task in tasks:
        await task
    report(workload, cpu_ns_op=(time.process_time_ns() - start) / operations)


async def yields(operations, depth, tasks):
    async def task():
        for _ in range(operations // tasks):
            await below(depth, turn, 1)

    await together("yield", operations, tasks, task)


async def resume(operations, depth, tasks):
    await together("resume", operations, tasks, lambda: below(depth, turn, operations // tasks))


async def spawn(operations, batch):
    async def value(i):
        return i

    start = time.process_time_ns()
    for _ in range(operations // batch):
        for task in [asyncio.create_task(value(i)) for i in range(batch)]:
            await task
    report("spawn", cpu_ns_op=(time.process_time_ns() - start) / operations)


async def crowd(count):
    times = []
    for _ in range(2):
        start = time.process_time_ns()
        for task in [asyncio.create_task(asyncio.sleep(0)) for _ in range(count)]:
            await task
        times.append((time.process_time_ns() - start) / count)
    report("crowd", fresh_ns=times[0], pooled_ns=times[1])


async def sleepers(count, depth):
    before = memory()
    tasks = [asyncio.create_task(below(depth, day, 1)) for _ in range(count)]
    await asyncio.sleep(0)
    after = memory()
    resident, tables, reserved = ((b - a) / count for a, b in zip(before, after))
    report("sleepers", rss_b=resident, pte_b=tables, reserved_b=reserved, tasks=len(tasks))
    os._exit(0)


async def cancel(operations, depth):
    total = 0
    for _ in range(operations // BATCH):
        tasks = [asyncio.create_task(below(depth, day, 1)) for _ in range(BATCH)]
        await asyncio.sleep(0)
        start = time.process_time_ns()
        for task in tasks:
            task.cancel()
        for task in tasks:
            try:
                await task
            except asyncio.CancelledError:
                pass
        total += time.process_time_ns() - start
    report("cancel", cpu_ns_op=total / operations)


async def discard(operations, depth):
    total = 0
    for _ in range(operations // FEW):
        paused = [below(depth, turn, 1) for _ in range(FEW)]
        for coroutine in paused:
            coroutine.send(None)
        start = time.process_time_ns()
        for coroutine in paused:
            coroutine.close()
        total += time.process_time_ns() - start
    report("discard", cpu_ns_op=total / operations)


async def recurse(levels):
    async def walk(level):
        await asyncio.sleep(0)
        return 1 if level == 0 else 1 + await walk(level - 1) + await walk(level - 1)

    start = time.process_time_ns()
    nodes = await walk(levels)
    report("recurse", cpu_ns_op=(time.process_time_ns() - start) / nodes)


async def dump():
    async def outer():
        await middle()

    async def middle():
        await inner()

    async def inner():
        await asyncio.sleep(DAY)

    sleeper = asyncio.create_task(outer(), name="sleeper")
    await asyncio.sleep(0)
    sleeper.print_stack(file=sys.stdout)
    sleeper.cancel()


async def endless():
    async def down(level):
        if level % 1_000 == 0:
            await asyncio.sleep(0)
        return await down(level + 1) + 1

    await down(1)


async def big():
    held = bytearray(32 << 20)
    await asyncio.sleep(0)
    return len(held)


async def echo_client(reader, writer):
    while data := await reader.read(1024):
        writer.write(data)
        await writer.drain()
    writer.close()


HELLO = (
    b"HTTP/1.1 200 OK\r\nServer: corio-benches\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"
)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


async def http_client(reader, writer):
    """As the others do it: every request is parsed, with all its headers."""
    try:
        while True:
            request, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
            method, path, _version = request.split(b" ")
            headers = dict(line.split(b":", 1) for line in lines)
            if method != b"GET" or b"Content-Length" in headers:
                break
            writer.write(HELLO if path == b"/plaintext" else NOT_FOUND)
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass
    writer.close()


async def serve(port, connection):
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)  # the input ends
    server = await asyncio.start_server(connection, "127.0.0.1", port)
    print(f"listening={server.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()
    os._exit(0)


WORKLOADS = {
    "echo": lambda port: serve(port, echo_client),
    "http": lambda port: serve(port, http_client),
    "hex": lambda port: serve(port, hex_server.serve_async),
    "yield": yields,
    "resume": resume,
    "spawn": spawn,
    "crowd": crowd,
    "sleepers": sleepers,
    "cancel": cancel,
    "discard": discard,
    "recurse": recurse,
    "dump": dump,
    "endless": endless,
    "big": big,
}

if __name__ == "__main__":
    asyncio.run(WORKLOADS[sys.argv[1]](*map(int, sys.argv[2:])))
