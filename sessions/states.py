"""Owns the words for what becomes of a session: in the store, in the browser, and at its end."""

from enum import Enum
from typing import Literal, TypeAlias

# Words and no Enum: these are compared on every request, and Python 3.11 takes its time to look a member up.
Change: TypeAlias = Literal["nothing", "create", "update", "touch", "destroy"]
"""What the end of a request does to the store."""

Reply: TypeAlias = Literal["keep", "send", "clear"]
"""What the response does to the browser's cookie."""


class End(Enum):
    """Why a session is over."""

    DESTROYED = "it was destroyed in this request"
    UNSET = "it was unset in this request"
    GONE = "it was destroyed or has expired meanwhile"
    FAILED = "its destruction failed"
