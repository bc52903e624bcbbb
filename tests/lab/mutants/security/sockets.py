"""Owns the mutants of WS-close: sockets and streams that end with their session."""

from typing import Any

from ..mutant import always, row_table

MUTANTS, breaks = row_table()

ENDS, WATCH = "trips/test_socket_ends.py::", "trips/test_socket_watch.py::"
HERE = f"{ENDS}test_a_verb_ends_the_sockets_of_its_process"
ELSEWHERE = f"{WATCH}test_a_verb_ends_the_sockets_of_other_processes"
REVOKED = f"{ENDS}test_a_revocation_ends_a_socket_when_it_is_called"
HAND = f"{WATCH}test_a_row_that_is_deleted_by_hand_ends_its_sockets"
EXPIRY = f"{WATCH}test_a_session_that_expires_ends_its_sockets"
DEAF = f"{ENDS}test_a_client_that_does_not_answer_the_close_frame_is_not_heard"
LEARNS = f"{ENDS}test_the_handler_learns_that_the_session_has_ended"
ALIVE = "trips/test_socket_use.py::test_messages_keep_a_session_alive"
STREAM = "trips/test_stream_ends.py::test_a_stream_is_cut_without_its_end"


breaks("WS-close", "no verb reports an end", HERE, "sessions.ends:Ends.ended")(always(None))
breaks("WS-close", "a revocation waits for the store", REVOKED, "sessions.ends:Ends.revoked")(always(None))
breaks("WS-close", "no row is judged", ELSEWHERE, "sessions.watch:Watch._judge")(always(None))
breaks("WS-close", "a tombstone keeps the socket", ELSEWHERE, "sessions.watch:Watch._go_on")(always(None))
breaks("WS-close", "a stream is not cut", STREAM, "sessions.web.ending:StreamEnding._cut")(always(None))
breaks("WS-close", "a message is no use", ALIVE, "sessions.web.ending:SocketEnding._keep")(
    lambda _: _nothing  # a coroutine that does nothing
)


async def _nothing(_self: Any, _state: Any) -> None:
    """What takes the place of a touch."""


@breaks("WS-close", "every end is a change", HERE, "sessions.web.ending:CODES")
def _(original: Any) -> Any:
    return dict.fromkeys(original, original["changed"])


@breaks("WS-close", "what comes after the end is heard", DEAF, "sessions.web.ending:MESSAGES")
def _(_original: Any) -> Any:
    return ()


@breaks("WS-close", "a row that is gone is taken for a store that is away", HAND, "sessions.watch:Watch._judge")
def _(original: Any) -> Any:
    def judge(self: Any, key: str, row: Any, record: Any) -> None:
        if record is not None:
            original(self, key, row, record)

    return judge


@breaks("WS-close", "the store is asked once", EXPIRY, "sessions.watch:Watch._rest")
def _(_original: Any) -> Any:
    async def rest(_self: Any, _least: float) -> None:
        import asyncio

        await asyncio.Event().wait()

    return rest


@breaks("WS-close", "the session can be read after the end", LEARNS, "sessions.watch:_end")
def _(_original: Any) -> Any:
    return lambda watched, end: watched.on_end(end)


@breaks("WS-close", "a stream is finished", STREAM, "sessions.web.ending:StreamEnding._cut")
def _(_original: Any) -> Any:
    return lambda self, _end: self._handler.finish()
