"""Owns the order of the checks, and what they come to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import SplitResult

from ..clock import Clock, now_ms
from ..config.unusual import unusual
from ..errors import OptionsError, StoreError, StoreUnavailable
from ..findings import Finding, fault
from ..stores.examination import Asked, duration, examine
from ..sweeper import SweeperOptions
from ..validation import masked
from .secrets import secrets_and_files
from .standards import idle_lifetime, of_options
from .subject import Subject
from .visit import visited

_ORDER = {"fault": 0, "warning": 1, "note": 2}
_AWAY = {"store.away", "site.away"}


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found, the worst first, and a line about the deployment."""

    findings: tuple[Finding, ...]
    summary: str

    @property
    def is_whole(self) -> bool:
        """False if the store or the site did not answer, so that not all was examined."""
        return not any(each.name in _AWAY for each in self.findings)

    @property
    def has_fault(self) -> bool:
        """True if a fault was found."""
        return any(each.severity == "fault" for each in self.findings)


async def diagnosed(subject: Subject, site: SplitResult | None = None, *, clock: Clock = now_ms) -> Diagnosis:
    """Examine a deployment, and visit its site if that is given. Changes nothing. Raises OptionsError."""
    found = [finding async for finding in _found(subject, site, clock)]
    once: dict[tuple[str, str], Finding] = {}
    for finding in found:
        once.setdefault((finding.name, "" if _is_of_cookie(finding) else finding.problem), finding)
    ordered = sorted(once.values(), key=lambda finding: _ORDER[finding.severity])
    return Diagnosis(findings=tuple(ordered), summary=_summary(subject))


def refusal(error: OptionsError) -> Finding:
    """Return the finding for options that are refused, so that no server starts."""
    return fault("options.refused", str(error), "a server says the same, and does not start")


def _is_of_cookie(finding: Finding) -> bool:
    """Return True for what may be found twice, in the options and in an answer."""
    return finding.name == "options.prefix" or finding.name.startswith("cookie.")


async def _found(subject: Subject, site: SplitResult | None, clock: Clock) -> AsyncIterator[Finding]:
    for finding in subject.read:
        yield finding
    if subject.knows_options:
        for finding in (*unusual(subject.tables), *of_options(subject), *secrets_and_files(subject)):
            yield finding
    try:
        async for finding in examine(subject.options.store, subject.store_options, _asked(subject, clock)):
            yield finding
    except StoreUnavailable as error:
        yield fault(
            "store.away",
            f"the store does not answer: {error}",
            "start it, or see its URL and who may reach it; a damaged file is replaced by a backup",
        )
    except StoreError as error:
        yield fault("store.refuses", f"the store refuses: {error}", "see its URL, and the rights of its user")
    if site is not None:
        options = subject.options if subject.knows_options else None
        for finding in await asyncio.to_thread(lambda: list(visited(site, options))):
            yield finding


def _asked(subject: Subject, clock: Clock) -> Asked:
    sweeper = subject.tables.get("sweeper", SweeperOptions())
    options = subject.options
    return Asked(clock, options.user_path, subject.knows_user_key, options.node_peer, float(sweeper.interval))


def _summary(subject: Subject) -> str:
    """Return the store, and when sessions end: the standards ask that both ends are documented (ASVS 7.1.1)."""
    options = subject.options
    store = str(masked(options.store))
    if not subject.knows_options:
        return store
    idle, whole = idle_lifetime(options), options.absolute_timeout
    end = "at no age" if whole is None else f"{duration(whole)} after they began"
    return f"{store}; sessions end {duration(idle)} after their last use, and {end}"
