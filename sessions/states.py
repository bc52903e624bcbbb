"""Owns the words for what becomes of a session: in the store, in the browser, and at its end."""

from enum import Enum


class Change(Enum):
    """What the end of a request does to the store."""

    NOTHING = "nothing"
    CREATE = "create"
    UPDATE = "update"
    TOUCH = "touch"
    DESTROY = "destroy"


class Reply(Enum):
    """What the response does to the browser's cookie."""

    KEEP = "keep"
    SEND = "send"
    CLEAR = "clear"


class End(Enum):
    """Why a session is over."""

    DESTROYED = "it was destroyed in this request"
    UNSET = "it was unset in this request"
    GONE = "it was destroyed or has expired meanwhile"
    FAILED = "its destruction failed"
