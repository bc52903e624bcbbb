"""Owns `secret`: a new secret, for SESSION_SECRET or the file that `secretFile` names."""

import secrets

import click

from ..validation import SECRET_BYTES
from .output import Output


@click.command(name="secret")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(*, as_json: bool) -> None:
    """Print a new secret of 32 random bytes, and write it nowhere.

    To rotate: put it before the present one, which goes on verifying, and send the server SIGHUP.
    """
    out = Output(as_json=as_json)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    if as_json:
        out.document({"secret": secret})
    else:
        out.line(secret)
