"""Connections. Each line is said when the other side has been heard, so the order does not depend on the kernel."""

import asyncio
from asyncio import CancelledError, IncompleteReadError, create_task, gather, open_connection, sleep
from contextlib import asynccontextmanager

from harness import kind, say


@asynccontextmanager
async def serving(handler):
    """A server on some free port, whose clients are served to their end."""
    clients = []

    async def serve(reader, writer):
        clients.append(asyncio.current_task())
        await handler(reader, writer)
        await finish(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await gather(*clients)


async def finish(writer):
    writer.close()
    await writer.wait_closed()


async def an_echo():
    async def echo(reader, writer):
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
        say("the server has seen the end")

    async with serving(echo) as port:
        reader, writer = await open_connection("127.0.0.1", port)
        for text in b"hello", b"and goodbye":
            writer.write(text)
            say((await reader.readexactly(len(text))).decode())
        writer.write_eof()
        say("left:", len(await reader.read()))
        await finish(writer)


async def decimal_to_hexadecimal():
    async def to_hex(reader, writer):
        while line := await reader.readline():
            try:
                writer.write(f"{int(line):#x}\n".encode())
            except ValueError:
                writer.write(b"not a number\n")
            await writer.drain()

    async with serving(to_hex) as port:
        reader, writer = await open_connection("127.0.0.1", port)
        for question in "4312", "1234", "ten":
            writer.write(question.encode() + b"\n")
            say(question, "->", (await reader.readline()).decode().strip())
        await finish(writer)


async def two_clients_at_once():
    async def double(reader, writer):
        while line := await reader.readline():
            writer.write(f"{int(line) * 2}\n".encode())

    async def ask(connection, n):
        reader, writer = connection
        writer.write(f"{n}\n".encode())
        return int(await reader.readline())

    async with serving(double) as port:
        first = await open_connection("127.0.0.1", port)
        second = await open_connection("127.0.0.1", port)
        say("the second is answered:", await ask(second, 21))
        say("and the first, which came before:", await ask(first, 4))
        say("both:", *await gather(ask(first, 1), ask(second, 2)))
        for _, writer in first, second:
            await finish(writer)


async def nobody_listens():
    async def nothing(reader, writer):
        pass

    async with serving(nothing) as port:
        pass
    try:
        await open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        say("refused")


async def the_peer_ends_too_early():
    async def stingy(reader, writer):
        writer.write(b"abc")

    async with serving(stingy) as port:
        reader, writer = await open_connection("127.0.0.1", port)
        try:
            await reader.readexactly(10)
        except IncompleteReadError:
            say("too little")
        await finish(writer)


async def a_megabyte():
    async def counting(reader, writer):
        total = 0
        while data := await reader.read(65536):
            total += len(data)
        writer.write(f"{total}\n".encode())

    async with serving(counting) as port:
        reader, writer = await open_connection("127.0.0.1", port)
        for _ in range(16):
            writer.write(bytes(65536))
            await writer.drain()
        writer.write_eof()
        say("the server has counted", (await reader.readline()).decode().strip())
        await finish(writer)


async def a_cancelled_read_takes_nothing():
    async def late(reader, writer):
        await reader.readline()
        writer.write(b"here it is\n")

    async def read():
        say("reads")
        return (await reader.readline()).decode().strip()

    async with serving(late) as port:
        reader, writer = await open_connection("127.0.0.1", port)
        task = create_task(read())
        await sleep(0)
        task.cancel()
        try:
            await task
        except CancelledError as error:
            say(kind(error))
        writer.write(b"now\n")
        say(await read())
        await finish(writer)


SCENARIOS = [
    an_echo,
    decimal_to_hexadecimal,
    two_clients_at_once,
    nobody_listens,
    the_peer_ends_too_early,
    a_megabyte,
    a_cancelled_read_takes_nothing,
]
