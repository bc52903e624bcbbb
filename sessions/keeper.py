"""Owns what a session asks of others: of the manager each verb of a handler, and for itself an id and a cookie.

It must know neither the session nor the manager.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from .cookie import Cookie

Result = TypeVar("Result")
Birth = Callable[[], tuple[str, Cookie]]
"""Makes the id and the cookie of a new session."""


class Keeper(Protocol):
    """The manager. `session` is the `Session` that asks; there it stands what each verb does."""

    def save(self, session: Any) -> Awaitable[None]: ...  # noqa: D102 # see Session
    def destroy(self, session: Any) -> Awaitable[None]: ...  # noqa: D102 # see Session
    def regenerate(self, session: Any) -> Awaitable[None]: ...  # noqa: D102 # see Session
    def reload(self, session: Any) -> Awaitable[None]: ...  # noqa: D102 # see Session
    def rotate(self, session: Any) -> Awaitable[None]: ...  # noqa: D102 # see Session
    def mutate(self, session: Any, change: Callable[[dict[str, Any]], Result]) -> Awaitable[Result]: ...  # noqa: D102 # see Session
