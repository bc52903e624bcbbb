"""Owns the long run: `python -m tests.lab.fuzz`, with atheris (libFuzzer) to make the inputs.

Without a target each has its share of `--runs`; what was found lies in the folder that is named at the end, and the exit
status says whether anything was. With a target, and flags of libFuzzer if wanted, that one alone runs.
"""

import argparse
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .. import ROOT

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
GROWN = ROOT / ".cache" / "fuzz" / "corpus"
"""Where the inputs lie that a run has found worth keeping: the next one goes on from there."""

FOUND = GROWN.with_name("found")

SHARES = {
    "signed_value": 450,
    "json_body": 170,
    "set_cookie_header": 140,
    "cookie_header": 100,
    "stored_row": 100,
    "form_body": 25,
    "config": 15,
}
"""Per thousand of the inputs, by how fast a target is."""

SECONDS = 5
"""How long one input may take before it counts as a hang."""

LONGEST = 2_048
"""Bytes of an input. What is larger is the business of the limits' own tests."""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Fuzz what comes from outside.")
    parser.add_argument("target", nargs="?", choices=SHARES)
    parser.add_argument("--runs", type=int, default=10_000_000)
    given, flags = parser.parse_known_args()
    if given.target:
        return _one(given.target, flags)
    FOUND.mkdir(parents=True, exist_ok=True)
    failures = 0
    print("| target | inputs | seconds | failures |\n|---|---|---|---|")
    for target, share in SHARES.items():
        started = time.monotonic()
        inputs, output = _run(target, given.runs * share // 1000)
        failed = output is not None
        failures += failed
        print(f"| `{target}` | {inputs:,} | {time.monotonic() - started:,.0f} | {int(failed)} |", flush=True)
        if output is not None:
            print(output, file=sys.stderr)
    print(f"what failed lies in {FOUND}" if failures else "nothing failed")
    return 1 if failures else 0


def _run(target: str, runs: int) -> tuple[int, str | None]:
    """How many inputs a target was given, and what was said of the one that failed."""
    grown = GROWN / target
    grown.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"-runs={runs}", f"-artifact_prefix={FOUND}/{target}-", str(grown), str(CORPUS / target)]
        command = [sys.executable, "-m", "tests.lab.fuzz", target, *flags]
        env = {**os.environ, "TMPDIR": folder}
        ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    output = ended.stdout + ended.stderr
    counted = re.search(r"stat::number_of_executed_units: *(\d+)", output)
    failed = ended.returncode != 0 or counted is None
    return int(counted[1]) if counted else 0, output[-8_000:] if failed else None


def _one(target: str, flags: list[str]) -> int:
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore] # in a venv of its own, .cache/fuzz

    os.environ.pop("SESSION_SECRET", None)  # it would stand for the secrets of the files
    logging.disable(logging.WARNING)  # a weak secret is warned of, a million times
    with atheris.instrument_imports(include=["sessions", "handlers", "server", "tomllib"]):
        from .targets import TARGETS

    own = [f"-timeout={SECONDS}", f"-max_len={LONGEST}", "-print_final_stats=1", "-rss_limit_mb=1024"]
    atheris.Setup([target, *own, *flags], TARGETS[target])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
