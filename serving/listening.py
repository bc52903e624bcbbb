"""Owns where the reference server listens: a TCP port, or a Unix socket and its file.

It must not know what is served there.
"""

import contextlib
import os
import shlex
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tornado.netutil import bind_sockets

BACKLOG = 128
"""Connections that may wait to be taken: Tornado's number."""

CLOSED_TO_OTHERS = 0o117
"""The umask for the file of a Unix socket. Its mode is 0660 then: its owner and its group may connect."""


class Listening(NamedTuple):
    """The sockets of a server."""

    sockets: Sequence[socket.socket]
    text: str
    """Two lines for a person: where that is, and how to get there."""


@contextlib.contextmanager
def listening(address: str, port: int, path: str | None) -> Iterator[Listening]:
    """Listen at a Unix socket if `path` is given, else at a TCP port of an address, of every interface for "".

    The file of a Unix socket is removed at the end, by the process that has made it. Raises OSError, naming the place.
    """
    if path is not None:
        with _unix_socket(path) as unix:
            how = f"curl --unix-socket {shlex.quote(path)} http://localhost/"
            yield Listening([unix], f"Server listening on unix:{path}\n{how}")
        return
    try:
        sockets = bind_sockets(port, address or None, backlog=BACKLOG)
    except OSError as error:
        raise OSError(f"port {port} on {address or 'every interface'}: {error.strerror}") from error
    port = sockets[0].getsockname()[1]
    host = f"[{address}]" if ":" in address else address or "localhost"
    yield Listening(sockets, f"Server listening on port {port}\nhttp://{host}:{port}/")


@contextlib.contextmanager
def _unix_socket(path: str) -> Iterator[socket.socket]:
    try:
        _remove_stale(path)
        unix = _bound(path)
    except OSError as error:  # a path that is too long has no strerror
        raise OSError(f"unix:{path}: {error.strerror or error}") from error
    file, owner = _identity(path), os.getpid()
    try:
        yield unix
    finally:
        if os.getpid() == owner:  # a worker is none
            unix.close()
            with contextlib.suppress(FileNotFoundError):
                if _identity(path) == file:  # another server has not taken the place meanwhile
                    Path(path).unlink()


def _bound(path: str) -> socket.socket:
    unix = socket.socket(socket.AF_UNIX)
    before = os.umask(CLOSED_TO_OTHERS)  # a chmod would come too late
    try:
        unix.bind(path)
        unix.listen(BACKLOG)
        unix.setblocking(False)
    except OSError:
        unix.close()
        raise
    finally:
        os.umask(before)
    return unix


def _remove_stale(path: str) -> None:
    """Remove the file of a socket at which nobody listens. Raises OSError for any other file, and a living server's."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError("there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except BlockingIOError:
            pass  # its queue is full
    raise OSError("another server listens there")


def _identity(path: str) -> tuple[int, int, int]:
    """Return what a file and no later one of its name has: a file system gives the number of an inode again."""
    found = os.lstat(path)
    return found.st_dev, found.st_ino, found.st_mtime_ns
