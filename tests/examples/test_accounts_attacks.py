"""docs/examples/accounts under attack: OWASP's cheat sheets on authentication, sessions, OAuth and uploads."""

import asyncio
import json
import logging
import threading
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from argon2 import PasswordHasher
from interop.processes import free_port
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from case import PASSWORD, AccountsCase, Person, token_of
from user_table import User, UserTable

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ELSEWHERE = ["//evil.example", "https://evil.example/", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)"]


REFUSED = b"HTTP/1.1 400 Bad Request"


class CountingHasher(PasswordHasher):
    """Notes which thread works how often."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.threads: list[str] = []

    def verify(self, hash: Any, password: Any) -> Any:  # noqa: A002 # argon2's name
        self.threads.append(threading.current_thread().name)
        return super().verify(hash, password)

    def hash(self, password: Any, *, salt: bytes | None = None) -> str:
        self.threads.append(threading.current_thread().name)
        return super().hash(password, salt=salt)


class SlowUsers(UserTable):
    """A login that is checked, and waits for the test before it goes on."""

    def __init__(self, users: UserTable) -> None:
        super().__init__(users._db, CHEAP)
        self.checked, self.go_on = asyncio.Event(), asyncio.Event()

    async def check(self, name: str, password: str) -> User:
        user = await super().check(name, password)
        self.checked.set()
        await self.go_on.wait()
        return user


class TestPasswords(AccountsCase):
    """Who tries passwords."""

    async def test_every_wrong_login_costs_one_hash(self) -> None:
        """Whether there is such a user, with or without a password; never on the loop's thread."""
        self.app.settings["users"] = UserTable(self.users._db, hasher := CountingHasher())
        await self.users.register("ada", PASSWORD)
        await self.users.at_provider("elsewhere", "bob")
        counts = []
        for name in ("ada", "nobody", "elsewhere", "' OR 1=1 --"):
            hasher.threads.clear()
            page = await self.person().log_in(name, "wrong password")
            counts.append((page.code, len(hasher.threads)))

        assert counts == [(422, 1)] * 4
        assert threading.current_thread().name not in hasher.threads

    async def test_a_taken_name_costs_one_hash_too(self) -> None:
        """The answer says that it is taken, because names are no secret here; its time says nothing more."""
        self.app.settings["users"] = UserTable(self.users._db, hasher := CountingHasher())
        await self.person().register()
        hasher.threads.clear()

        await self.person().register()

        assert len(hasher.threads) == 1

    async def test_ten_tries_a_minute_are_enough(self) -> None:
        """The eleventh is refused although it is right; another user is not kept waiting."""
        ada, bob, eve = self.person(), self.person(), self.person()
        await ada.register()
        await bob.register("bob")
        for _ in range(10):
            await eve.log_in("ada", "wrong password")

        refused, other = await eve.log_in("ada"), await eve.log_in("bob")

        assert b"Too many tries" in refused.body
        assert b"Good day, bob" in other.body

    async def test_of_two_who_register_one_name_one_has_it(self) -> None:
        """At the same moment."""
        people = [self.person() for _ in range(4)]

        pages = await asyncio.gather(*(each.register() for each in people))

        assert sorted(page.code for page in pages) == [200, 422, 422, 422]

    async def test_a_login_with_the_old_password_does_not_outlive_it(self) -> None:
        """It was checked before the change, and signs in after it."""
        ada, eve = self.person(), self.person()
        await ada.register()
        slow = self.app.settings["users"] = SlowUsers(self.users)
        login = asyncio.ensure_future(eve.log_in())
        await slow.checked.wait()
        self.app.settings["users"] = self.users
        await ada.send("/password", old=PASSWORD, new="another long password")
        slow.go_on.set()

        page = await login

        assert urlsplit(page.effective_url).path == "/login"
        assert (await ada.fetch("/")).code == 200

    async def test_a_double_click_on_the_new_password_signs_nobody_out(self) -> None:
        """The second is refused; the browser has the cookie of the first, or comes with the id before it."""
        ada = self.person()
        await ada.register()
        page = await ada.open("/password")
        form = {"_xsrf": token_of(page), "old": PASSWORD, "new": "another long password"}

        answers = await asyncio.gather(*(ada.fetch("/password", form=form) for _ in range(2)))

        assert min(each.code for each in answers) == 302
        assert (await ada.fetch("/")).code == 200

    async def test_a_new_password_keeps_what_is_remembered(self) -> None:
        """For the thirty days of the login."""
        ada = self.person()
        await ada.register()
        await ada.log_in(remember="yes")
        await ada.send("/password", old=PASSWORD, new="another long password")

        self.clock.advance(29 * 86_400_000)

        assert (await ada.fetch("/")).code == 200

    async def test_no_password_is_logged(self) -> None:
        """At no level."""
        with self.assertLogs(level=logging.DEBUG) as logs:
            ada = self.person()
            await ada.register()
            await ada.log_in(password="mistyped battery")
            await ada.send("/password", old=PASSWORD, new="another long password")

        typed = (PASSWORD, "mistyped battery", "another long password")
        assert [line for line in logs.output if any(each in line for each in typed)] == []
        assert any("422 POST /login" in line for line in logs.output)


class TestSessions(AccountsCase):
    """Who wants the session of another."""

    async def test_a_known_cookie_is_not_signed_in(self) -> None:
        """Session fixation: the id is a new one after the login, and the one before leads nowhere."""
        ada, eve = self.person(), self.person()
        await ada.send("/login", to="/oauth?next=/devices")  # an anonymous session, and then a login
        await ada.send("/", to="/logout")
        await eve.fetch("/oauth", form={"_xsrf": token_of(await eve.fetch("/login"))})
        known = {each.name: each for each in eve.jar.all()}
        ada.jar.receive(f"connect.sid={known['connect.sid'].value}; Path=/", "127.0.0.1", "/", secure=False)

        await ada.register()

        assert (await ada.fetch("/")).code == 200
        assert (await eve.fetch("/")).code == 302

    async def test_another_users_session_is_not_ended(self) -> None:
        """A handle ends only a session of whoever asks."""
        ada, eve = self.person(), self.person()
        await ada.register()
        await eve.register("eve")
        (session,) = await self.manager.sessions_of(1)

        page = await eve.send("/devices", handle=session.handle)

        assert b"Signed out: 0" in page.body
        assert (await ada.fetch("/")).code == 200

    async def test_a_link_signs_nobody_out(self) -> None:
        """GET does not."""
        ada = self.person()
        await ada.register()

        answer = await ada.fetch("/logout")

        assert (answer.code, (await ada.fetch("/")).code) == (405, 200)

    async def test_a_sign_out_everywhere_reaches_all(self) -> None:
        """An open chat, too."""
        ada, other = self.person(), self.person()
        await ada.register()
        await other.log_in()
        chat = await other.connect("/chat")

        await ada.send("/", to="/logout", everywhere="yes")

        assert await chat.read_message() is None
        assert [(await each.fetch("/")).code for each in (ada, other)] == [302, 302]

    async def test_a_user_who_was_deleted_is_signed_out(self) -> None:
        """And whoever registers the name again is another user."""
        ada, other = self.person(), self.person()
        await ada.register()
        await self.users._db.execute("DELETE FROM users")
        await other.register()

        assert (await ada.fetch("/")).code == 302
        assert (await other.session() or {})["user"] == 2

    async def test_pages_are_not_kept(self) -> None:
        """The button "back" shows nothing after the sign-out."""
        ada = self.person()

        pages = [await ada.register(), await ada.fetch("/devices"), await ada.fetch("/login")]

        assert [page.headers["Cache-Control"] for page in pages] == ["no-store"] * 3

    async def test_the_name_of_a_browser_is_text(self) -> None:
        """It is shown in a page, and comes from whoever knows the password."""
        ada = self.person()
        await ada.register()
        page = await ada.fetch("/login")
        form = {"_xsrf": token_of(page), "name": "ada", "password": PASSWORD}
        await ada.fetch("/login", form=form, headers={"User-Agent": "<script>alert(1)</script>"})

        devices = await ada.fetch("/devices")

        assert b"&lt;script&gt;" in devices.body
        assert b"<script>alert" not in devices.body


class TestForms(AccountsCase):
    """Other sites that send forms, and links that lead to them."""

    async def test_every_form_needs_its_token(self) -> None:
        """Those of visitors, too: whoever signs somebody in as another reads what they write then."""
        ada = self.person()
        await ada.register()
        forms = ["/login", "/register", "/logout", "/password", "/devices", "/oauth", "/upload"]

        codes = [(await ada.fetch(path, form={"name": "ada", "password": PASSWORD})).code for path in forms]

        assert codes == [403] * 7

    async def test_a_form_of_another_site_is_refused(self) -> None:
        """Also of a sibling, which can plant the cookie of the token."""
        eve = self.person()
        form = {"_xsrf": token_of(await eve.fetch("/login")), "name": "ada", "password": PASSWORD}
        sites = ["cross-site", "same-site", "same-origin"]

        codes = [(await eve.fetch("/login", form=form, headers={"Sec-Fetch-Site": each})).code for each in sites]

        assert codes == [403, 403, 422]

    async def test_a_token_of_another_session_is_refused(self) -> None:
        """Although it is that of the cookie."""
        ada, eve = self.person(), self.person()
        await ada.register()
        await eve.register("eve")
        token = token_of(await eve.fetch("/"))
        (planted,) = (each for each in eve.jar.all() if each.name == "_xsrf")
        await ada.fetch("/")
        ada.jar.receive(f"_xsrf={planted.value}; Path=/", "127.0.0.1", "/", secure=False)

        answer = await ada.fetch("/logout", form={"_xsrf": token})

        assert (answer.code, (await ada.fetch("/")).code) == (403, 200)

    async def test_a_login_leads_to_no_other_site(self) -> None:
        """Neither by the password nor by the provider."""
        await self.users.register("ada", PASSWORD)
        for url in ELSEWHERE:
            query = urlencode({"next": url})
            ada, bob = self.person(), self.person()
            login = await ada.fetch(f"/login?{query}")
            form = {"_xsrf": token_of(login), "name": "ada", "password": PASSWORD}
            there = await ada.fetch(f"/login?{query}", form=form)
            back = await bob.send(f"/login?{query}", to=f"/oauth?{query}")

            assert there.headers.get("Location") in ("/", None), url
            assert urlsplit(back.effective_url).path == "/", url
            self.users._tries.clear()


class TestChat(AccountsCase):
    """Who listens, and what is said."""

    async def test_a_page_of_another_site_hears_nothing(self) -> None:
        """Nor does who is not signed in."""
        ada, eve = self.person(), self.person()
        await ada.register()

        for person, origin, code in ((ada, "https://evil.example", 403), (eve, None, 401)):
            with pytest.raises(HTTPClientError, match=str(code)):
                await person.connect("/chat", headers={"Origin": origin} if origin else None)

    async def test_a_sign_out_in_one_tab_ends_the_chat_of_another(self) -> None:
        """They have one cookie; others go on."""
        ada, bob = self.person(), self.person()
        await ada.register()
        await bob.register("bob")
        tabs = [await ada.connect("/chat"), await ada.connect("/chat"), await bob.connect("/chat")]

        await ada.send("/", to="/logout")
        await tabs[2].write_message("is somebody there?")

        assert [await tab.read_message() for tab in tabs[:2]] == [None, None]
        assert [tab.close_code for tab in tabs[:2]] == [4401, 4401]
        assert json.loads(str(await tabs[2].read_message()))["name"] == "bob"

    async def test_a_long_message_closes_the_socket_of_its_sender(self) -> None:
        """And no other."""
        ada, bob = self.person(), self.person()
        await ada.register()
        await bob.register("bob")
        chats = [await each.connect("/chat") for each in (ada, bob)]

        await chats[0].write_message("x" * 5_000)
        await chats[1].write_message("short")

        assert await chats[0].read_message() is None
        assert json.loads(str(await chats[1].read_message()))["text"] == "short"

    async def test_who_is_not_signed_in_sees_no_names(self) -> None:
        """204 tells an EventSource not to come again."""
        assert (await self.person().fetch("/members")).code == 204


class TestUploads(AccountsCase):
    """Files that are too large, break off, or come from nobody."""

    async def test_nobody_uploads(self) -> None:
        """Before the body is read."""
        eve = self.person()
        headers = {"X-Xsrftoken": token_of(await eve.fetch("/login"))}

        answer = await eve.fetch("/upload", method="POST", headers=headers, body=b"x", expect_100_continue=True)

        assert answer.code == 401
        assert list(self.uploads.iterdir()) == []

    async def raw(self, person: Person, head: bytes, body: bytes, *, ends: bool = False) -> bytes:
        """What comes back for an upload that is written by hand, until the server closes."""
        home = await person.fetch("/")
        cookie = "; ".join(f"{each.name}={each.value}" for each in person.jar.all())
        lines = f"POST /upload HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\nX-Xsrftoken: {token_of(home)}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(lines.encode() + head + b"\r\n\r\n" + body)
        if ends:
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def test_an_upload_that_breaks_off_leaves_nothing(self) -> None:
        """Nor does one that grows too large on its way, or that says no number as its length."""
        ada = self.person()
        await ada.register()

        short = await self.raw(ada, b"Content-Length: 100", b"x" * 50, ends=True)
        endless = await self.raw(ada, b"Transfer-Encoding: chunked", b"a00000\r\n")
        wrong = await self.raw(ada, b"Content-Length: many", b"")

        assert [each.partition(b"\r\n")[0] for each in (short, endless, wrong)] == [b"", REFUSED, REFUSED]
        assert list(self.uploads.iterdir()) == []

    async def test_two_uploads_at_once_are_two_files_of_which_one_stays(self) -> None:
        """Whole."""
        ada = self.person()
        await ada.register()
        bodies = [letter * 3_000_000 for letter in (b"a", b"b", b"c")]

        await asyncio.gather(*(ada.upload(body) for body in bodies))

        assert (await ada.fetch("/file")).body in bodies
        assert [path.name for path in self.uploads.iterdir()] == ["1"]


class TestOAuth(AccountsCase):
    """Codes and states that are another's (RFC 9700, section 4)."""

    async def asked(self, person: Person) -> str:
        """Where the application sends a person to."""
        there = await person.fetch("/oauth", form={"_xsrf": token_of(await person.fetch("/login"))})
        return str(there.headers["Location"])

    async def back(self, url: str, **changed: str) -> str:
        """Where the provider sends the browser to, with some arguments changed."""
        answer = await AsyncHTTPClient().fetch(url, follow_redirects=False, raise_error=False)
        query = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
        return f"/oauth/return?{urlencode({**query, **changed})}"

    async def test_another_ones_code_is_refused(self) -> None:
        """Code injection: it is good only with the verifier of the session that has asked for it."""
        ada, eve = self.person(), self.person()
        stolen = parse_qs(urlsplit(await self.back(await self.asked(ada))).query)["code"][0]

        page = await eve.fetch(await self.back(await self.asked(eve), code=stolen))

        assert page.headers["Location"] == "/login"
        assert await eve.session() == {"flash": {"info": ["The sign-in did not succeed."]}}

    async def test_a_return_from_another_provider_is_refused(self) -> None:
        """Mix-up: the answer says who gives it (RFC 9207)."""
        ada = self.person()

        page = await ada.fetch(await self.back(await self.asked(ada), iss="https://evil.example"))

        assert page.code == 403
        assert await ada.session() == {}

    async def test_the_session_has_a_new_id_after_it(self) -> None:
        """And nothing of the way there."""
        ada = self.person()
        url = await self.asked(ada)
        before = {each.value for each in ada.jar.all()}

        await ada.fetch(await self.back(url))

        assert before & {each.value for each in ada.jar.all() if each.name == "connect.sid"} == set()
        assert await ada.session() == {"user": 1}

    async def test_a_provider_that_is_away_leads_to_the_login(self) -> None:
        """While the visitor was there, its servers have gone."""
        ada = self.person()
        path = await self.back(await self.asked(ada))
        self.app.settings["provider"]["token_endpoint"] = f"http://127.0.0.1:{free_port()}/token"

        page = await ada.fetch(path)

        assert page.headers["Location"] == "/login"

    async def test_the_verifier_does_not_leave(self) -> None:
        """The browser carries its hash only, and never the client's secret."""
        ada = self.person()

        url = await self.asked(ada)

        waiting = (await ada.session() or {})["oauth"]
        assert waiting["verifier"] not in url
        assert "its-secret" not in url
        assert parse_qs(urlsplit(url).query)["code_challenge_method"] == ["S256"]

    async def test_a_name_of_the_provider_is_no_name_of_ours(self) -> None:
        """Whatever the provider calls a person, nobody takes them for a user of this table, or signs in as one."""
        ada, other = self.person(), self.person()
        await ada.register()
        self.memory.person = {"sub": "1", "preferred_username": "<b>ada"}

        page = await other.send("/login", to="/oauth")

        self.memory.person["preferred_username"] = "grace"
        again = await self.person().send("/login", to="/oauth")

        assert b"&lt;b&gt;ada@127.0.0.1" in page.body
        assert b"Good day, grace@127.0.0.1" in again.body
        assert [(await each.session() or {})["user"] for each in (ada, other)] == [1, 2]

    async def test_a_signed_in_user_is_asked_for_the_password_there(self) -> None:
        """`@fresh` rests on it."""
        ada = self.person()
        await ada.send("/login", to="/oauth")

        url = await self.asked(ada)

        assert parse_qs(urlsplit(url).query)["prompt"] == ["login"]
