"""Owns what is said of secrets: how strong they are, and who reads the files that hold them. None of them is shown."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.secret import FILE_VARIABLE, SECRET_VARIABLE, chosen_secret, kept_secrets, secret_file
from ..config.toml_text import read_toml
from ..errors import OptionsError
from ..file_access import Access, owned_by_stranger, reached_by_others, serving_user
from ..findings import Finding, fault, note, warning
from ..validation import SECRET_BYTES, masked, secrets_of
from ..weak_secrets import is_published
from .subject import Subject

_OURS = b"at least 32 bytes of your very own"
"""The secret in the examples of our own documentation, which run without a word in the log."""

_FEWEST = 8
"""Different bytes of a secret that nobody guesses: 32 random hexadecimal digits have fewer once in 100,000,000."""

_SIGNS_IN = "read it, and sign in as anybody"


def secrets_and_files(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the secrets of a configuration file, and with the files that hold them."""
    if subject.path is None:
        return
    session = read_toml(subject.path).get("session", {})
    user = serving_user(subject.path.absolute().parent)
    yield from _holder(subject.path, session, user)
    try:
        found = chosen_secret(session)
        if found is None:
            yield from _kept(subject)
            found = kept_secrets(subject.options, make=False)
        if found is not None:
            yield from strength(secrets_of(found))
    except OptionsError as error:
        yield warning("secret.unread", str(error), "run this as the user of the server, in its environment")
    given = os.environ.get(FILE_VARIABLE)
    file = None if given is None else Access.of(Path(given))
    if file is not None:
        yield from reached_by_others(file, _SIGNS_IN)
        yield from owned_by_stranger(file, _SIGNS_IN, serving_user(file.path.absolute().parent))


def strength(secrets: Sequence[bytes]) -> Iterator[Finding]:
    """Yield what is wrong with secrets: an old one in the list still lets anybody in."""
    for number, secret in enumerate(secrets, 1):
        which = "the secret" if len(secrets) == 1 else f"secret {number} of {len(secrets)}"
        advice = (
            "make another with `python -m sessions secret`, and put it first in the list until old cookies are gone"
        )
        if is_published(secret) or secret == _OURS:
            problem = f"{which} is one of a tutorial, so everybody can sign in as anybody"
            yield fault("secret.published", problem, advice)
        elif len(secret) < SECRET_BYTES:
            problem = (
                f"{which} has {len(secret)} bytes, {SECRET_BYTES} are wanted: whoever guesses it signs in as anybody"
            )
            yield fault("secret.weak", problem, advice)
        elif len(set(secret)) < _FEWEST:
            problem = f"{which} repeats {len(set(secret))} characters, so it may be guessed"
            yield warning("secret.repeats", problem, advice)


def _holder(path: Path, session: Mapping[str, Any], user: int) -> Iterator[Finding]:
    """Yield who reaches the configuration file, if it holds a secret or a password."""
    store = session.get("store")
    if "secret" in session:
        harm = _SIGNS_IN
    elif isinstance(store, str) and masked(store) != store:
        harm = "read the store's password in it"
    else:
        return
    file = Access.of(path)
    if file is not None:
        yield from reached_by_others(file, harm)
        yield from owned_by_stranger(file, harm, user)


def _kept(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the file of a secret that a server has made."""
    file = Access.of(secret_file(subject.options))
    if file is None:
        return
    yield from reached_by_others(file, _SIGNS_IN)
    yield from owned_by_stranger(file, _SIGNS_IN, serving_user(file.path.absolute().parent))
    if subject.is_exposed and subject.options.secret_file is None and subject.options.store.startswith("sqlite:"):
        problem = f"{file.path}: the secret is beside the sessions, and so in each backup of their folder (ASVS 13.3.1)"
        yield note("secret.beside-store", problem, f"[session] secretFile, or {SECRET_VARIABLE}")
