"""The server of examples/hex_server.rs in Python: blocking, and by asyncio."""

import asyncio
import socket

MAX_LINE = 16 * 1024


def answer(line):
    text = line.strip()
    if len(line) > MAX_LINE:
        return b"error: line longer than 16384 bytes\n"
    if not text:
        return b"error: empty line\n"
    if not text.lstrip(b"+-").isdigit() or len(text) > 4000:
        return b"error: not a decimal integer, or a long one\n"
    return hex(int(text)).encode() + b"\n"


# ANCHOR: serve
def serve(stream):
    with stream, stream.makefile("rb") as reader:
        while line := reader.readline(MAX_LINE + 1):
            stream.sendall(answer(line))
# ANCHOR_END: serve


# ANCHOR: accept
def run_blocking(host, port):
    with socket.create_server((host, port)) as listener:
        while True:
            stream, _ = listener.accept()
            serve(stream)
# ANCHOR_END: accept


# ANCHOR: serve_async
async def serve_async(reader, writer):
    while line := await reader.readline():
        writer.write(answer(line))
        await writer.drain()
    writer.close()
# ANCHOR_END: serve_async


# ANCHOR: accept_async
async def run_async(host, port):
    server = await asyncio.start_server(serve_async, host, port, limit=MAX_LINE)
    async with server:
        await server.serve_forever()
# ANCHOR_END: accept_async
