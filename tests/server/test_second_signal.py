"""What ends the server's drain at once: a second signal."""

import signal
from collections.abc import Callable

import pytest
from processes import Server, until

Start = Callable[..., Server]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_drain_at_once(start: Start, second: signal.Signals) -> None:
    """The request in flight is cut off, and the server ends well."""
    server = await start("[server]\ndrain = 3600000\n").serving()
    wire = await server.ask()
    server.signal(signal.SIGTERM)
    await until(server.refuses)

    server.signal(second)
    status = await server.ended()

    assert status == 0
    assert wire.ended or await wire.quiet() is False
