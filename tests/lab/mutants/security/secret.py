"""Owns the mutants of ASVS V11 and V13: secrets and signatures, limits of time, the debug mode."""

import random
from pathlib import Path
from typing import Any

from ..mutant import always, members, row_table

MUTANTS, breaks = row_table()

IDS, SIGNING = "trips/test_ids.py", "formats/test_signing.py"
SECRET, SECRETS = "test_config_secret.py", "test_config_secrets.py"


# ---------------------------------------------------------------- 11, 13: secrets, hashes, limits


@breaks("11.2.2; 13.3.4", "the last secret signs",
        f"{IDS}::test_promise_4_a_rotated_secret_verifies_and_no_longer_signs",
        "sessions.formats.signing:Signer.sign")  # fmt: skip
def _(original: Any) -> Any:
    def sign(self: Any, sid: str) -> Any:
        last = object.__new__(type(self))
        last._keys = self._keys[-1:]
        return original(last, sid)

    return sign


breaks("13.3.4", "SIGHUP changes no secret",
       "server/test_reload.py::test_new_secrets_count_and_no_request_is_lost",
       "sessions.manager:SessionManager.use_secrets")(always(None))  # fmt: skip
breaks("11.2.3", "a short secret serves everybody",
       "server/test_server_secret.py::test_a_weak_one_is_refused_where_others_reach_it",
       "sessions.validation:SECRET_BYTES")(lambda _: 4)  # fmt: skip


@breaks("11.2.4", "a wrong first character ends the comparison",
        f"{SIGNING}::TestUnsign::test_no_early_exit_tells_how_much_of_a_signature_is_right",
        "sessions.formats.signing:Signer.unsign")  # fmt: skip
def _(original: Any) -> Any:
    def unsign(self: Any, value: str) -> Any:
        sid, _, signature = value.removeprefix("s:").rpartition(".")
        right = [self.__class__.__new__(self.__class__) for _ in self._keys]
        for signer, key in zip(right, self._keys, strict=True):
            signer._keys = [key]
        try:
            begins = {signer.sign(sid).rpartition(".")[2][:1] for signer in right}
        except UnicodeEncodeError:
            return None
        return original(self, value) if signature[:1] in begins else None

    return unsign


@breaks("11.4.1", "MD5 signs", f"{SIGNING}::TestSign::test_an_id_is_signed_as_in_node",
        "sessions.formats.signing:hashlib")  # fmt: skip
def _(original: Any) -> Any:
    return members(original, sha256=original.md5)


@breaks("11.5.1; 7.2.3", "ids can be predicted", f"{SIGNING}::TestNewId::test_an_id_is_no_function_of_the_time",
        "sessions.formats.signing:secrets")  # fmt: skip
def _(original: Any) -> Any:
    return members(original, token_urlsafe=lambda size: random.randbytes(size).hex()[:32])


@breaks("13.1.3", "a store may take any time",
        "trips/test_parallel.py::test_a_conflict_that_never_ends_meets_the_deadline",
        "sessions.timeout:Deadline.keep")  # fmt: skip
def _(_original: Any) -> Any:
    async def keep(_self: Any, awaitable: Any) -> Any:
        return await awaitable

    return keep


@breaks("13.1.3", "a locked file is not waited for",
        "stores/test_sqlite_trouble.py::TestLocked::test_a_short_lock_is_waited_for",
        "sessions.stores.sqlite.file:OpenFile.__init__")  # fmt: skip
def _(original: Any) -> Any:
    return lambda self, settings, *rest: original(self, settings._replace(busy_timeout=0), *rest)


@breaks("13.3.1", "the configuration's secret comes before the environment's",
        f"{SECRET}::TestGiven::test_the_environments_comes_first", "sessions.config.secret:chosen_secret")  # fmt: skip
def _(original: Any) -> Any:
    return lambda session: session.get("secret") or original(session)


@breaks("13.3.1", "others can read the secret that is made", f"{SECRET}::TestMade::test_it_lies_beside_the_store",
        "sessions.config.secret:tempfile")  # fmt: skip
def _(original: Any) -> Any:
    def named(*args: Any, **options: Any) -> Any:
        made = original.NamedTemporaryFile(*args, **options)
        Path(made.name).chmod(0o644)
        return made

    return members(original, NamedTemporaryFile=named)


breaks("13.3.1", "nobody is warned of a secret that others can read",
       f"{SECRETS}::test_a_secret_that_others_can_read_is_warned_of",
       "sessions.config.secret:_warn_of_others")(always(None))  # fmt: skip


@breaks("13.4.2", "the server has a debug mode", "server/test_security.py::test_the_server_has_no_debug_mode",
        "server:make_app")  # fmt: skip
def _(original: Any) -> Any:
    def make_app(manager: Any) -> Any:
        app = original(manager)
        app.settings["serve_traceback"] = True
        return app

    return make_app
