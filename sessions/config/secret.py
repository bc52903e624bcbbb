"""Owns where the secret comes from: the environment, the file, or one that is made and kept.

    SESSION_SECRET, SESSION_SECRET_FILE     several, one a line or with commas between them: the first signs, all verify
    [session] secret                        one, or a list
    <store's file>.secret                   made at the first start, with mode 0600; `secretFile` places it elsewhere

The first of these that gives one counts. No message shows a secret.
"""

import contextlib
import errno
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import OptionsError
from ..options import SessionOptions
from ..validation import SECRET_BYTES

log: logging.Logger = logging.getLogger("sessions")

SECRET_VARIABLE = "SESSION_SECRET"  # noqa: S105 # a variable's name
FILE_VARIABLE = "SESSION_SECRET_FILE"
"""The environment variables that override the file's secret: the secrets themselves, or the file that holds them."""
_OTHERS = 0o006
"""The bits of a mode by which others than owner and group read or write."""


def chosen_secret(session: Mapping[str, Any]) -> Any:
    """Return the secrets that somebody has chosen: those of the environment, or of the table [session]; None: nobody.

    Raises OptionsError for a variable or a file that holds none.
    """
    given, file = os.environ.get(SECRET_VARIABLE), os.environ.get(FILE_VARIABLE)
    if given and file:
        raise OptionsError(f"secret: {SECRET_VARIABLE} and {FILE_VARIABLE} are both given; one of them is enough")
    if file:
        return _secrets_in(Path(file))
    return split_secrets(given, SECRET_VARIABLE) if given else session.get("secret")


def split_secrets(text: str, place: str) -> tuple[str, ...]:
    """Return the secrets of a text, one a line or with commas between them. Raises OptionsError if there is none.

    A text with commas is the last of them as a whole too, because it may be one old secret that has commas in it.
    """
    found = tuple(each.strip() for each in re.split("[,\n]", text) if each.strip())
    if not found:
        raise OptionsError(f"secret: {place} is empty")
    return (*found, text) if "," in text else found


def secret_file(options: SessionOptions) -> Path:
    """Return where a made secret is kept: at `secretFile`, beside the store's file, or in the working folder."""
    if options.secret_file is not None:
        return Path(options.secret_file)
    scheme, _, rest = options.store.partition(":")
    return Path(f"{rest.removeprefix('//')}.secret") if scheme == "sqlite" and rest else Path(".session-secret")


def kept_secrets(options: SessionOptions, *, make: bool) -> tuple[str, ...] | None:
    """Return the secrets that are kept for these options. If there is no file it is made, with mode 0600.

    Without `make` that is None. Raises OptionsError for a file that cannot be read or made, or is empty.
    """
    file = secret_file(options)
    option = "store" if options.secret_file is None else "secretFile"
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return _read(file)
        if not make:
            return None
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=file.name, encoding="ascii") as made:
            made.write(f"{secrets.token_urlsafe(SECRET_BYTES)}\n")
            made.flush()
            with contextlib.suppress(FileExistsError):
                os.link(made.name, file)  # whole or not at all, and the first of several servers wins
        return _read(file)
    except (FileNotFoundError, NotADirectoryError):
        raise OptionsError(f"{option}: the folder {file.parent} does not exist") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OptionsError(f"{option}: {error.strerror}") from error
        raise OptionsError(f"secret: none is given, and {file} cannot be made or read: {error}") from error


def _secrets_in(file: Path) -> tuple[str, ...]:
    try:
        return _read(file)
    except OSError as error:
        raise OptionsError(f"secret: {FILE_VARIABLE}: {file}: {error.strerror}") from error


def _read(file: Path) -> tuple[str, ...]:
    """Return the secrets of a file. Raises OSError, and OptionsError for a file that holds none."""
    content = file.read_bytes()
    _warn_of_others(file)
    try:
        text: str | None = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    if text is None:  # here, so that no error behind it holds the content
        raise OptionsError(f"secret: {file} is not UTF-8")
    return split_secrets(text, str(file))


def _warn_of_others(file: Path) -> None:
    """Warn of a file that others can read, or that belongs to somebody else than root or us."""
    found = file.stat()
    if found.st_mode & _OTHERS:
        log.warning(
            "[session] secret: others can read %s (its mode is %04o), and sign in as anybody: chmod 600",
            file,
            found.st_mode & 0o777,
        )
    if found.st_uid not in (0, os.geteuid()):
        log.warning(
            "[session] secret: %s belongs to the user %d, who can read it and sign in as anybody", file, found.st_uid
        )
