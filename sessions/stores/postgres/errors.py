"""Owns PostgreSQL's errors: which are ours to raise, which may be of one row, which waiting does not help.

The codes are SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html); two characters are a class. Of
an error only PostgreSQL's first line is shown, since the lines after it may hold a row.
"""

import asyncpg

from ...errors import StoreError, StoreUnavailable

DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What asyncpg raises; a TimeoutError is an OSError."""

READ_ONLY = "25006"
"""A standby, which may be promoted."""

_MET_ANOTHER = {"40001", "40P01"}  # serialization, deadlock
_LOCK_TIMEOUT = "55P03"
_UNIQUE = "23505"
_ROW = {"22", "23", "44", "54", "P0"}  # data, constraint, check option, limit, a trigger's refusal
_NOT_READY = "55000"  # a key that is DEFERRABLE, for one
_SETUP = {"0A", "3F", "42"}  # what the server cannot do, a schema that is not there, names, rights and types


def code(error: BaseException) -> str:
    """Return the SQLSTATE of an error; "" if it has none."""
    return str(getattr(error, "sqlstate", None) or "")


def has_met_another(error: Exception) -> bool:
    """True if PostgreSQL rolled a statement back to end a deadlock: it may be tried again."""
    return code(error) in _MET_ANOTHER


def is_for_one(error: Exception) -> bool:
    """True if an error may be of one row among several: nothing was done, and each may be tried alone."""
    return code(error) in {*_MET_ANOTHER, _LOCK_TIMEOUT} or _class(error) in _ROW


def is_taken(error: Exception) -> bool:
    """True if another row has the id: nothing was done."""
    return code(error) == _UNIQUE


def is_refusal(error: Exception) -> bool:
    """True if PostgreSQL refuses a statement for what it is, so that waiting does not help."""
    is_setup = _class(error) in _SETUP or code(error) == _NOT_READY
    return is_setup or _class(error) in _ROW or isinstance(error, asyncpg.ClientConfigurationError)


def translated(name: str, error: Exception) -> StoreError:
    """Return a driver's error as ours. It loses the lines that may show a row, since a traceback would print them."""
    kind = StoreError if is_refusal(error) else StoreUnavailable
    return kind(f"{name}: {words(error)}")


def words(error: Exception) -> str:
    """Return what an error says, and take from it the lines that may show a row."""
    if isinstance(error, asyncpg.PostgresError):
        error.detail = error.hint = error.context = None
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return str(error.args[0])
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _class(error: Exception) -> str:
    return code(error)[:2] if isinstance(error, asyncpg.PostgresError) else ""
