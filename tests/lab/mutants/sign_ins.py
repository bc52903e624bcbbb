"""Owns the mutants of signing in and out: the data that goes on, what a session remembers, messages, and `next`."""

from typing import Any

from .mutant import always, table

MUTANTS, breaks = table()

SIGN_INS, USERS = "sign_ins:SignIns", "web.users"
DATA, GIVEN = "trips/test_sign_in.py", "trips/test_sign_in_given.py"
FRESH, STAMPS = "trips/test_fresh.py", "trips/test_stamps.py"


breaks(4, "another user goes on with the data", DATA, f"{SIGN_INS}._keeps")(always(value=True))
breaks(4, "an anonymous visitor loses the basket", DATA, f"{SIGN_INS}._keeps")(always(value=False))


@breaks(4, "a newer row of another user is taken", DATA, "sign_ins:user_in")
def _(original: Any) -> Any:
    seen: list[str] = []

    def user_in(text: str, path: Any) -> Any:
        seen.append(text)
        return original(text, path) if len(set(seen)) < 2 else None  # the row that was loaded only

    return user_in


@breaks(4, "what is remembered has no end", GIVEN, "remembered:Remembered._end_at")
def _(_original: Any) -> Any:
    return lambda _self, _moment: None


breaks(4, "the lifetime of the options does not come back", GIVEN, "stored_cookie:StoredCookie.take_lifetime")(
    always(value=None)
)


@breaks(3, "a confirmation signs in by a session that was ended", FRESH, f"{SIGN_INS}._move_confirmed")
def _(_original: Any) -> Any:
    async def move_confirmed(self: Any, state: Any, row: Any, _user: str, begun: Any) -> None:
        from sessions.store import Outcome

        async def on(expected: Any) -> Any:
            return state.on(expected)

        if await self._rotation.move(state, row, begun, on, is_moved=True) is Outcome.GONE:
            state.restart_with_assigned()

    return move_confirmed


@breaks(4, "a confirmation forgets the stamp that it is given", STAMPS, f"{SIGN_INS}.confirm")
def _(original: Any) -> Any:
    return lambda self, state, _stamp: original(self, state)


@breaks(4, "a login is fresh for ever", FRESH, f"{USERS}:signed_in_at")
def _(_original: Any) -> Any:
    def signed_in_at(handler: Any, session: Any) -> Any:
        from sessions.stored_cookie import as_date

        return as_date(session.manager(handler).clock())

    return signed_in_at


breaks(4, "another stamp is as good", STAMPS, "manager:is_stamp")(always(value=True))
breaks(4, "nobody is asked for the stamp", STAMPS, f"{USERS}:check_stamp")(lambda _original: _nothing)
breaks(2, "of two messages one is lost", "trips/test_flash.py", "merge:RESOLVERS")(lambda _original: {})
breaks(0, "a login leads to another origin", "trips/test_users.py", f"{USERS}:next_url")(
    lambda _original: lambda handler, default: handler.get_argument("next", default)
)
breaks(0, "a fetch() is sent to the login page", "trips/test_users.py", f"{USERS}:is_navigation")(always(value=True))
breaks(4, "a failed sign-in leaves the user there", "trips/test_sign_in_verbs.py", "data:SessionData.copy")(
    lambda _original: lambda self: self
)


async def _nothing(*_: Any) -> None:
    pass
