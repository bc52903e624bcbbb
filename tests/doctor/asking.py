"""Owns how the tests ask: findings by their names, of a store by its URL, or of a configuration in the working folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sessions import now_ms
from sessions.doctor import Subject, diagnosed
from sessions.doctor.visit import site_of
from sessions.findings import Finding
from sessions.stores.examination import Asked, examine

STRONG = "sLwX0eYb-3hJ8vQ2nR5tU7zA9cD1fG4k"
HOUR = 3_600_000
ASKED = Asked(clock=now_ms, user_path=None, knows_user_key=True, node_peer=False, sweep_interval=60_000)


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    """The findings; each has a name that no other has."""
    listed = list(findings)
    named = {finding.name: finding for finding in listed}
    assert len(named) == len(listed), listed
    return named


async def store(url: str, asked: Asked = ASKED, **options: Any) -> dict[str, Finding]:
    """What is found of a store."""
    return by_name([finding async for finding in examine(url, options, asked)])


async def configured(text: str, site: str | None = None) -> dict[str, Finding]:
    """What is found of a configuration in the working folder, but that it has no database yet."""
    path = Path("config.toml")
    path.write_text(text)  # noqa: ASYNC240 # nobody else is on the loop
    path.chmod(0o600)  # noqa: ASYNC240 # as above
    diagnosis = await diagnosed(Subject.of_file(path), None if site is None else site_of(site))
    return by_name(each for each in diagnosis.findings if each.name != "sqlite.new")
