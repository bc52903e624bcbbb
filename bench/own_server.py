"""Owns the main program of a benchmark that is also the server under measurement, with pages that no other one has.

`python -m bench.NAME --serve PORT` is the server. Without `--serve` the program starts that server on one core,
measures it from the other, and writes `results/NAME.json`.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from bench.catalogue import HERE
from bench.figures import RESULTS, save
from bench.process import LOAD_CORE, SERVER_CORE, folder, free_port, machine, pinned, spawn, wait_until
from bench.report import print_result
from bench.serve import accepts

Settings = dict[str, int]


def main(
    name: str,
    about: str | None,
    serve: Callable[[int], Coroutine[Any, Any, None]],
    measure: Callable[..., Coroutine[Any, Any, list[dict[str, Any]]]],
    full: Settings,
    quick: Settings,
) -> None:
    """Be the server of `bench.NAME`, or measure it: `measure` gets its port, and the settings by their names."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=(about or "").partition("\n")[0])
    parser.add_argument("--serve", type=int, metavar="PORT", help="be the server, on this port")
    parser.add_argument("--quick", action="store_true", help="one small round, beside the results: does it work?")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve))
        return
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    settings = quick if arguments.quick else full
    result: dict[str, Any] = {"machine": machine(), "settings": settings}
    port = free_port()
    with folder() as data:
        command = pinned(SERVER_CORE, (sys.executable, "-m", f"bench.{name}", "--serve", str(port)))
        running = spawn(name, command, port, data, {"PYTHONPATH": str(HERE.parent)})
        try:
            wait_until(running, lambda: accepts(port))
            result[name] = asyncio.run(measure(port, **settings))
        finally:
            running.stop()
    save(result, RESULTS / (f"{name}-quick.json" if arguments.quick else f"{name}.json"))
    print_result(result)
