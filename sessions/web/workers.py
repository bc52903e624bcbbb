"""Owns the processes of a server: workers that share its sockets, and a parent that looks after them while it lives.

    sockets = bind_sockets(8888)                    # before; stores and the event loop come after
    parent = fork_workers(4, reload=..., stop=...)
    if parent is not None:                          # a worker: it ends when the pipe `parent` is closed
        ...

Tornado's `fork_processes` ends everything at the hundredth restart of its life, makes no pause between two, and
replaces no worker that ended by itself. This file must not know what is served.
"""

import logging
import os
import signal
import time
from collections.abc import Callable

log: logging.Logger = logging.getLogger("sessions")

STOPPING = {signal.SIGTERM, signal.SIGINT}
"""The signals that end a server. To the parent the first means: when all is answered; the second: at once."""

SIGNALS = {*STOPPING, signal.SIGHUP}
"""What signals ask of a server."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds from the end of a worker until another takes its place: doubled each time, from the first to the longest."""

QUIET = 10.0
"""Seconds without an end of a worker after which the pauses start over."""

_ALL = {*SIGNALS, signal.SIGCHLD, signal.SIGALRM}


def hold_signals() -> None:
    """Let the signals of a server wait until the process has set up what they do; `signal.pthread_sigmask` lets go."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def fork_workers(
    number: int,
    *,
    reload: Callable[[], bool],
    stop: Callable[[], None],
    ended: Callable[[int], None] = lambda _pid: None,
) -> int | None:
    """Become a parent and its workers. Returns in each worker a pipe that closes when the parent stops, or dies.

    In the parent it returns None when a signal has stopped it and all workers have ended. On SIGHUP the parent calls
    `reload`, and sends its workers the signal if that is True; when it stops it calls `stop`, and `ended` with the pid
    of each worker that has ended. A worker starts with its signals held (`hold_signals`).
    """
    return _Parent(number, reload, stop, ended).run()


class _Parent:
    def __init__(
        self, number: int, reload: Callable[[], bool], stop: Callable[[], None], ended: Callable[[int], None]
    ) -> None:
        self._number = number
        self._reload = reload
        self._stop = stop
        self._ended = ended
        self._workers: set[int] = set()
        self._reading, self._writing = os.pipe()
        self._is_stopping = False
        self._is_pausing = False
        self._pause = FIRST_PAUSE
        self._last_change = time.monotonic()

    def run(self) -> int | None:
        """Start the workers, then wait for signals: one after another, so that none meets another."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # elsewhere than on Linux one that is ignored does not wait
        signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
        if self._fork():
            return self._reading
        while self._workers or not self._is_stopping:
            number = signal.sigwait(_ALL)
            if number in STOPPING:
                self._end()
            elif number == signal.SIGHUP:
                if self._reload():
                    self._tell(signal.SIGHUP)
            elif number == signal.SIGCHLD:
                self._look()
            elif not self._is_stopping and self._fork():  # the pause is over
                return self._reading
        return None

    def _fork(self) -> bool:
        """Start the workers that are missing. Returns True in a worker."""
        self._is_pausing = False
        self._last_change = time.monotonic()
        while len(self._workers) < self._number:
            try:
                pid = os.fork()
            except OSError as error:
                log.error("no worker can be started: %s", error.strerror)  # noqa: TRY400 # its traceback says no more
                self._wait()
                break
            if not pid:
                self._become_worker()
                return True
            self._workers.add(pid)
        return False

    def _become_worker(self) -> None:
        os.close(self._writing)  # only the parent may hold it open
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ALL - SIGNALS)

    def _look(self) -> None:
        """See which workers have ended, and begin the pause before others take their place."""
        ended = False
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            if pid in self._workers:
                self._workers.remove(pid)
                self._ended(pid)
                ended = True
                if not self._is_stopping:
                    log.warning("worker %d has ended (%s)", pid, _how(status))
        if ended and not self._is_stopping and not self._is_pausing:
            self._wait()

    def _wait(self) -> None:
        """Let SIGALRM come after the pause."""
        self._is_pausing = True
        now = time.monotonic()
        if now - self._last_change > QUIET:
            self._pause = FIRST_PAUSE
        self._last_change = now
        log.warning("%d of %d workers run; the others start in %.1f s", len(self._workers), self._number, self._pause)
        signal.setitimer(signal.ITIMER_REAL, self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _end(self) -> None:
        """Stop: by the pipe, so that a worker that got the same signal stops once. The second time: at once."""
        if self._is_stopping:
            self._tell(signal.SIGKILL)
            return
        self._is_stopping = True
        os.close(self._writing)
        self._stop()

    def _tell(self, number: int) -> None:
        for pid in self._workers:
            os.kill(pid, number)  # it exists until it is waited for


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
