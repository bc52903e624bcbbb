"""The reference server without descriptors: the log stays small, and it serves again when clients leave."""

import asyncio
import socket
from collections.abc import Callable

from processes import HOST, Server

FEW = ["sh", "-c", 'ulimit -n 200 && exec "$@"', "sh"]
"""Runs a program with 200 descriptors at most."""


def begin_to_connect(port: int) -> socket.socket:
    """A connection that may have to wait in the kernel, which keeps 128."""
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((HOST, port))
    return client


async def test_out_of_descriptors_new_connections_wait(start: Callable[..., Server]) -> None:
    """It is said once, not at every try; whoever came first is served meanwhile, and whoever waited when others leave."""
    server = await start('[session]\nstore = "memory:"\n', under=FEW).serving()
    first = await server.wire()
    before = len(server.output)
    held = [begin_to_connect(server.port) for _ in range(400)]
    await asyncio.sleep(2.5)  # it tries again each second

    first.send(b"GET /get-session HTTP/1.1\r\nHost: h\r\n\r\n")
    meanwhile = await first.response()
    lines = [line for line in server.output[before:].splitlines() if " 200 GET " not in line]
    for each in held:
        each.close()
    afterwards = await server.browser().fetch("/get-session")

    assert (meanwhile.status, afterwards.status) == (200, 200)
    assert len(lines) == 1
    assert "Too many open files" in lines[0]
    assert "Traceback" not in server.output
