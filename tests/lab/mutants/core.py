"""Owns the mutants of the core: the rules, the state of a session, its writes and verbs, the merge, the cookie."""

import copy
import dataclasses
from typing import Any

from .mutant import table

MUTANTS, breaks = table()

STATE, WRITES, COOKIE = "state:SessionState", "writes:Writes", "stored_cookie:StoredCookie"


# ---------------------------------------------------------------- commit before the first byte


@breaks(1, "who cannot be loaded is anonymous", "trips/test_failures.py", "manager:SessionManager.load")
def _(original: Any) -> Any:
    async def load(self: Any, sids: Any, generate: Any, *tags: Any) -> Any:
        from sessions import StoreUnavailable

        try:
            return await original(self, sids, generate, *tags)
        except StoreUnavailable:
            return self.new(generate)

    return load


# ---------------------------------------------------------------- parallel requests lose nothing


@breaks(2, "a save is a blind set", "trips/test_parallel.py", f"{WRITES}.ask")
def _(_original: Any) -> Any:
    async def ask(self: Any, row: Any, record: Any) -> Any:
        from sessions.store import Outcome, Update, overwriting

        store: Any = overwriting(self._store)
        made = await store.set(row.id, record)
        return made if row.base is None else Update(Outcome.SAVED, made)

    return ask


@breaks(2, "a merge forgets what was deleted", "trips/test_parallel.py", "merge:merged")
def _(original: Any) -> Any:
    return lambda change, mine, theirs: original(change._replace(deleted=set()), mine, theirs)


@breaks(2, "a merge takes along what was only read", "trips/test_parallel.py", "merge:changes")
def _(original: Any) -> Any:
    return lambda loaded, mine: original(loaded, mine)._replace(assigned=list(mine))


@breaks(2, "reject merges", "trips/test_reject.py", f"{STATE}._reject_clashes")
def _(_original: Any) -> Any:
    return lambda _self, _newer: None


@breaks(2, "reject refuses equal values too", "trips/test_reject.py", "merge:clashes")
def _(_original: Any) -> Any:
    return lambda change, loaded, _mine, theirs: [
        key for key in [*change.assigned, *change.deleted] if loaded.get(key) != theirs.get(key)
    ]


@breaks(2, "a rejected request is stored at its end", "trips/test_reject.py", f"{STATE}.facts")
def _(original: Any) -> Any:
    return lambda self: original(self)._replace(discarded=False)


@breaks(2, "a merge overwrites the cookie's attributes", "trips/test_parallel_cookie.py", f"{COOKIE}.assigned")
def _(_original: Any) -> Any:
    return property(lambda self: {name: self.member(name) for name in self.to_json()})


@breaks(2, "a merge does not compute the expiry anew", "test_promises.py", f"{COOKIE}.reassign")
def _(original: Any) -> Any:
    def reassign(self: Any, assigned: Any) -> None:
        expires = assigned.get("expires", self.member("expires"))
        original(self, assigned)
        self.expires = expires

    return reassign


@breaks(2, "mutate changes what was loaded", "trips/test_mutate.py", f"{STATE}.on")
def _(_original: Any) -> Any:
    return lambda self, _newer: self.to_store()


# ---------------------------------------------------------------- ended is ended


@breaks(3, "a save that finds no session creates it", "trips/test_ended.py", "performing:BegunCommit._updated")
def _(original: Any) -> Any:
    def updated(self: Any, queue: Any) -> Any:
        outcome = original(self, queue)
        if outcome == "gone":
            self._row.base = self._queue = outcome = None
        return outcome

    return updated


@breaks(3, "a late answer carries the cookie of what is gone", "trips/test_ended.py", f"{STATE}.settle")
def _(original: Any) -> Any:
    def settle(self: Any, plan: Any, outcome: str) -> None:
        original(self, plan, outcome)
        if outcome == "gone":
            self.cookie_act = plan.cookie

    return settle


@breaks(3, "a late answer clears the newer cookie", "trips/test_ended.py", f"{STATE}.settle")
def _(original: Any) -> Any:
    def settle(self: Any, plan: Any, outcome: str) -> None:
        original(self, plan, outcome)
        if outcome == "gone":
            self.cookie_act = "clear"

    return settle


@breaks(3, "a rolling cookie is sent though the touch met a change", "trips/test_ended.py", f"{WRITES}.touch")
def _(original: Any) -> Any:
    async def touch(self: Any, state: Any) -> Any:
        other = copy.copy(self)
        other._options = dataclasses.replace(self._options, rolling=False)
        return await original(other, state)

    return touch


@breaks(3, "a rolling cookie is sent though the touch met the end", "test_promises.py", f"{WRITES}.touch")
def _(original: Any) -> Any:
    async def touch(self: Any, state: Any) -> str:
        await original(self, state)
        return "saved"

    return touch


@breaks(3, "a rolling stream sends the cookie before its touch", "test_promises.py", "policy:decide")
def _(original: Any) -> Any:
    def decide(facts: Any, options: Any, *, ends: bool = True) -> Any:
        plan = original(facts, options, ends=ends)
        return plan if ends or plan.change != "touch" else plan._replace(change="nothing")

    return decide


@breaks(3, "destroy leaves the cookie", "trips/test_cookies_out.py", "policy:_decide_ended")
def _(original: Any) -> Any:
    return lambda facts, options: original(facts, options)._replace(cookie="keep")


@breaks(3, "destroy clears a cookie of other attributes", "trips/test_cookies_out.py", f"{COOKIE}.clearing")
def _(_original: Any) -> Any:
    return lambda _self, name: f"{name}=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


@breaks(3, "regenerate leaves the old session alive", "trips/test_new_ids.py", "rotation:Rotation.leave")
def _(_original: Any) -> Any:
    async def leave(*_args: Any, **_options: Any) -> None:
        pass

    return leave


@breaks(3, "a session is served past its absolute end", "trips/test_absolute_timeout.py", f"{STATE}.is_too_old")
def _(_original: Any) -> Any:
    return property(lambda _self: False)


@breaks(3, "a touch moves the expiry past the absolute end", "trips/test_absolute_timeout.py", f"{COOKIE}.capped")
def _(_original: Any) -> Any:
    return lambda _self, moment: max(int(moment), 0)


@breaks(3, "rotate forgets when the session was created", "trips/test_absolute_timeout.py", f"{STATE}.take_new_id")
def _(original: Any) -> Any:
    def take_new_id(self: Any) -> Any:
        cookie = original(self)
        if self._timeout is not None:
            self._timeout = self._new_timeout()
        return cookie

    return take_new_id


@breaks(3, "a session of Node's never comes of age", "trips/test_absolute_timeout.py", f"{STATE}._is_meta_unrecorded")
def _(_original: Any) -> Any:
    return lambda _self: False


# ---------------------------------------------------------------- a visitor's id is never adopted


@breaks(4, "an unknown id is adopted", "trips/test_ids.py", "manager:SessionManager.load")
def _(original: Any) -> Any:
    async def load(self: Any, sids: Any, generate: Any, *tags: Any) -> Any:
        state = await original(self, sids, generate, *tags)
        if state.base is None and state.end is None:
            state.id = state.row.id = state._origin_id = sids[0]
            state.request_sid = None  # so that it begins as any new session does
        return state

    return load


@breaks(4, "a new session shares another visitor's id", "trips/test_ids.py", f"{WRITES}.create")
def _(_original: Any) -> Any:
    async def create(self: Any, state: Any, record: Any, row: Any, **_: Any) -> str:
        state.saved(record, await self._store.create(row.id, record) or record, row)
        return "saved"

    return create


# ---------------------------------------------------------------- reads hardly cost a write


DUE = f"{STATE}.is_touch_due"


@breaks(5, "touchAfter is ignored", "trips/test_touch.py", DUE)
def _(original: Any) -> Any:
    def is_touch_due(self: Any, expires_at: int) -> Any:
        self._options = dataclasses.replace(self._options, touch_after=None)
        return original(self, expires_at)

    return is_touch_due


@breaks(5, "every read is a touch", "trips/test_touch.py", DUE)
def _(_original: Any) -> Any:
    return lambda *_args: True


@breaks(5, "looking at a row of Node's is a change", "trips/test_values.py", "data:SessionData.current")
def _(original: Any) -> Any:
    def current(self: Any) -> Any:
        self._canonical = ""  # which no text is equal to
        return original(self)

    return current


@breaks(5, "near its absolute end every read touches a session", "trips/test_absolute_timeout.py",
        "absolute_timeout:AbsoluteTimeout.is_touch_due")  # fmt: skip
def _(original: Any) -> Any:
    def is_touch_due(self: Any, renewed: float, expires_at: int, after: float) -> Any:
        return original(self, renewed, expires_at, after) or (renewed >= self.ends_at and after <= 0)

    return is_touch_due


@breaks(1, "a future of a store keeps no deadline", "test_timeout.py", "timeout:Deadline._ring")
def _(original: Any) -> Any:
    def ring(self: Any, loop: Any) -> None:
        self._futures.clear()
        original(self, loop)

    return ring


@breaks(1, "what follows a conflict has a deadline of its own", "test_performing.py", "timeout:Deadline.keep_rest")
def _(_original: Any) -> Any:
    return lambda self, _began, rest: self.keep(rest)


@breaks(2, "a commit that nobody waits for keeps its turn", "test_performing.py", "performing:BegunCommit._wait")
def _(_original: Any) -> Any:
    async def wait(self: Any) -> None:
        await self.call
        rest = self.finish()
        if rest is not None:
            await rest

    return wait
