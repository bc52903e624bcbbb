"""Owns `doctor`: what is examined, how findings are printed, and the exit code."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from ..doctor import Diagnosis, Subject, diagnosed
from ..doctor.diagnosis import refusal
from ..doctor.visit import site_of
from ..errors import OptionsError
from .codes import DONE, FAILED, FAULT, USAGE
from .output import Output
from .target import placed


@click.command(name="doctor")
@click.argument("url", required=False)
@placed
@click.pass_context
def command(
    ctx: click.Context, url: str | None, config: Path | None, store: str | None, user_key: str | None, *, as_json: bool
) -> None:
    """Examine a deployment. Nothing is changed; URL is visited twice, as by a visitor who comes back.

    Exit codes: 0 without a fault, 1 if the store or the site does not answer, 2 if the options are refused, 4 for a
    fault.
    """
    logging.getLogger("sessions").addHandler(logging.NullHandler())  # what a server would log is a finding here
    site = None if url is None else site_of(url)
    out = Output(as_json=as_json)
    try:
        subject = Subject.of_file(config) if config is not None else Subject.of_url(store or "", user_key)
    except OptionsError as error:
        _print(out, Diagnosis(findings=(refusal(error),), summary="not examined"))
        ctx.exit(USAGE)
    diagnosis = asyncio.run(diagnosed(subject, site))
    _print(out, diagnosis)
    ctx.exit(FAILED if not diagnosis.is_whole else FAULT if diagnosis.has_fault else DONE)


def _print(out: Output, diagnosis: Diagnosis) -> None:
    if out.as_json:
        findings: list[dict[str, Any]] = [each._asdict() for each in diagnosis.findings]
        out.document({"findings": findings, "summary": diagnosis.summary})
        return
    for finding in diagnosis.findings:
        out.line(f"{finding.severity:8} {finding.name}: {finding.problem}")
        out.line(f"         {finding.advice}")
    found = len(diagnosis.findings)
    out.line(f"{found or 'nothing'} found: {diagnosis.summary}")
