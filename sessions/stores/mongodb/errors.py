"""Owns what a failure of MongoDB means: which error of pymongo, or code of a server, becomes which error of ours.

The codes are MongoDB's (src/mongo/base/error_codes.yml). A server's words are not shown, since they may hold a
document, or the whole command that was refused; the code and its name are.
"""

from bson.errors import BSONError, InvalidDocument
from pymongo.errors import (
    ConnectionFailure,
    DuplicateKeyError,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from ...errors import StoreError, StoreUnavailable

DRIVER = (PyMongoError, BSONError, OSError, OverflowError)
"""What pymongo raises. OverflowError: of a number that BSON has no room for."""

_UNAUTHORIZED = 13
_DOCUMENT_TOO_LARGE = {10334, 17419, 17420, 17280}
"""A document beyond 16 MB, before and after an update; a key beyond 1,024 bytes (servers before 4.2)."""

_REFUSALS = {
    2, 9, 14, 15, 16, 20, 52, 53, 55, 59, 66, 67, 72, 73, 96, 115, 121, 166, 197, 238, 303, 323, 11000, 51024,
    _UNAUTHORIZED, *_DOCUMENT_TOO_LARGE,
}  # fmt: skip
"""Waiting does not help: a command, an option, a name, a type, a right, a validator, a unique index, a view."""

_SILENT = "No servers found yet"
"""What pymongo says if nobody has answered on a connection until the limit, so that it knows no error to name."""

_NO_INDEX = {2, 67, 72, 85, 86, 115, 197, 238, _UNAUTHORIZED}
"""An index that the server cannot have, that is there with other options, or that the user may not make."""


def is_away(error: Exception) -> bool:
    """Return True if the next call would wait in vain too. A connection that was cut is none such: the next is new."""
    return isinstance(error, ServerSelectionTimeoutError | NetworkTimeout)


def is_id_taken(error: DuplicateKeyError) -> bool:
    """Return True if another document has the id; False for a unique index of somebody else's."""
    pattern = (error.details or {}).get("keyPattern")  # servers before 4.2 do not say it
    return pattern is None or "_id" in pattern


def has_no_index(error: Exception) -> bool:
    """Return True if there cannot be such an index."""
    return isinstance(error, OperationFailure) and error.code in _NO_INDEX


def translated(name: str, error: Exception) -> StoreError:
    """Return a driver's error as ours. It loses what may show a document, since a traceback would print that."""
    is_refusal = isinstance(error, BSONError | OverflowError) or getattr(error, "code", None) in _REFUSALS
    return (StoreError if is_refusal else StoreUnavailable)(f"{name}: {words(error)}")


def words(error: Exception) -> str:
    """Return what an error says, and take from it what may show a document."""
    if isinstance(error, OperationFailure):
        text = _code(error)
    elif isinstance(error, InvalidDocument):
        text = "the document is larger than MongoDB takes, or holds what BSON does not"
    elif isinstance(error, ConnectionFailure):
        text = str(error).partition(" (configured timeouts")[0].partition(", Timeout: ")[0].partition(", full error")[0]
        if text == _SILENT:
            text += ": nobody has answered in time; does the server speak TLS if the URL does, and only then?"
    else:
        text = str(error) or type(error).__name__
    error.args = (text,)
    return text


def _code(error: OperationFailure) -> str:
    details = error.details or {}
    code = f"{details.get('codeName') or type(error).__name__} (code {error.code})"
    if error.code == _UNAUTHORIZED:
        return f"{code}: the user needs the role readWrite on the database"
    if error.code in _DOCUMENT_TOO_LARGE:
        return f"{code}: the session is larger than MongoDB takes"
    return code
