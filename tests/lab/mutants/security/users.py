"""Owns the mutants of ASVS 7.1.2, 7.4.2 to 7.4.5 and 7.5: the sessions of a user, how they end, and a fresh login."""

from typing import Any

from tornado.web import authenticated

from ..mutant import always, row_table

MUTANTS, breaks = row_table()

MANAGER = "users/test_manager.py"
LIMIT, STAMP, FRESH = "trips/test_sign_in_limit.py", "trips/test_stamps.py::TestStamp", "trips/test_fresh.py::TestFresh"
PAGE, TUTORIAL = "handlers/test_page_others.py", "test_tutorial_doc.py"
USERS = "sessions.users:UserSessions"


def ends(number: int) -> Any:
    """A verb that ends nothing, and says how many it has ended."""

    def replacement(_original: Any) -> Any:
        async def verb(*_: Any, **__: Any) -> int:
            return number

        return verb

    return replacement


@breaks(
    "7.1.2; CS-simul",
    "a session more than maxPerUser may live",
    f"{LIMIT}::TestLimit::test_the_oldest_sign_in_ends {LIMIT}::TestLimit::test_one_more_can_be_refused",
    "sessions.sign_ins:Limit",
)
def _(original: Any) -> Any:
    return lambda user, most, **options: original(user, most + 1, **options)


breaks("7.4.2; 7.4.5", "a user's sessions live on when all are revoked",
       f"{MANAGER}::test_a_session_that_a_request_changes_stays_ended", f"{USERS}.revoke_all")(ends(0))  # fmt: skip
breaks("7.4.3", "a changed password ends no session", f"{STAMP}::test_a_changed_password_ends_the_others_and_keeps_this_one",
       "sessions.manager:is_stamp")(always(value=True))  # fmt: skip
breaks("7.4.5", "clear() leaves the rows", "stores/test_contract.py::TestMemory::test_clear_deletes_every_session",
       "sessions.stores.memory:MemoryStore.clear")(ends(0))  # fmt: skip


@breaks("7.4.2", "the session of a deleted account goes on", f"{STAMP}::test_a_user_who_is_no_more_is_signed_out",
        "sessions.manager:SessionManager.keep_if_stamped")  # fmt: skip
def _(original: Any) -> Any:
    async def keep_if_stamped(self: Any, state: Any, stamp: Any) -> bool:
        return stamp is None or await original(self, state, stamp)

    return keep_if_stamped


@breaks(
    "7.4.3",
    "the session that is to be kept ends too",
    f"{MANAGER}::test_a_change_of_password_ends_the_others {PAGE}::TestEnded::test_all_others_are_ended",
    f"{USERS}.revoke_all",
)
def _(original: Any) -> Any:
    return lambda self, user, _keep=None: original(self, user)


@breaks(
    "7.5.2",
    "to end one session ends all of the user",
    f"{MANAGER}::test_a_session_is_revoked_by_its_handle {PAGE}::TestEnded::test_one_is_ended"
    f" {TUTORIAL}::test_one_device_is_signed_out",
    f"{USERS}.revoke",
)
def _(_original: Any) -> Any:
    return lambda self, user, _handle: self.revoke_all(user)


breaks("7.5.2", "a handle is the beginning of the id",
       f"{MANAGER}::test_the_sessions_of_a_user_are_listed {PAGE}::TestShown::test_the_others_of_the_user_are_shown",
       "sessions.users:handle_of")(lambda _: lambda key: key[:32])  # fmt: skip


@breaks("7.5.2", "the list has one session alone", f"{MANAGER}::test_the_sessions_of_a_user_are_listed",
        f"{USERS}.listed")  # fmt: skip
def _(original: Any) -> Any:
    async def listed(*args: Any) -> Any:
        return (await original(*args))[:1]

    return listed


breaks("7.5.2", "an old login ends other sessions", f"{TUTORIAL}::test_an_old_login_gives_the_password_again",
       "sessions.web.users:fresh")(lambda _: lambda **_options: authenticated)  # fmt: skip


@breaks("7.5.1", "a password that is given again changes no id",
        f"{FRESH}::test_confirm_makes_it_fresh_under_a_new_id", "sessions.sign_ins:SignIns.confirm")  # fmt: skip
def _(_original: Any) -> Any:
    async def nothing() -> None:
        pass

    def confirm(_self: Any, state: Any) -> Any:
        state.set_meta(signedInAt=state.clock())
        return nothing()

    return confirm
