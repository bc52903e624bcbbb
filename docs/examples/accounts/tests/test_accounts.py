"""The tests of the application. Run them beside main.py: `python -m unittest discover tests`."""

import asyncio
import re
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from case import PASSWORD, AccountsCase, token_of

MINUTE = 60_000


class TestAccounts(AccountsCase):
    """What visitors do, and what must not happen to them."""

    async def test_who_registers_is_signed_in(self) -> None:
        """And no one can have the name again."""
        ada, eve = self.person(), self.person()
        home = await ada.register()
        again = await eve.register()

        self.assertIn(b"Welcome, ada.", home.body)
        self.assertIn(b"This name is taken.", again.body)
        self.assertIsNone(await eve.session())

    async def test_a_login_leads_to_the_page_that_was_asked_for(self) -> None:
        """And remembers the browser if that was asked for, too."""
        ada, other = self.person(), self.person()
        await ada.register()

        page = await other.send("/password", name="Ada", password=PASSWORD, remember="yes")
        self.clock.advance(29 * 24 * 60 * MINUTE)

        self.assertIn(b"Change your password", page.body)
        self.assertEqual((await other.fetch("/")).code, 200)
        self.assertEqual((await ada.fetch("/")).code, 302)

    async def test_a_wrong_password_and_an_unknown_name_are_one_answer(self) -> None:
        """Nobody learns who is a user."""
        ada, eve = self.person(), self.person()
        await ada.register()

        answers = [await eve.log_in("ada", "wrong"), await eve.log_in("eve", "wrong")]

        self.assertEqual([each.code for each in answers], [422, 422])
        texts = [re.sub(rb'value="[^"]+"', b"", each.body) for each in answers]
        self.assertEqual(texts[0], texts[1])

    async def test_a_new_password_signs_all_others_out(self) -> None:
        """Their sockets, too."""
        ada, other = self.person(), self.person()
        await ada.register()
        await other.log_in()
        chat = await other.connect("/chat")

        page = await ada.send("/password", old=PASSWORD, new="another long password")

        self.assertIn(b"The password is changed.", page.body)
        self.assertIsNone(await chat.read_message())
        self.assertEqual(chat.close_code, 4401)
        self.assertEqual((await other.fetch("/")).code, 302)
        self.assertEqual((await self.person().log_in()).code, 422)

    async def test_a_device_is_signed_out(self) -> None:
        """By its handle, or with all others; the one that asks stays."""
        people = [self.person() for _ in range(4)]
        await people[0].register()
        for each in people[1:]:
            await each.log_in()

        page = await people[0].open("/devices")
        (handle, *_) = re.findall(r'name="handle" value="(\w+)"', page.body.decode())
        one = await people[0].send("/devices", handle=handle)
        others = await people[0].send("/devices")

        self.assertIn(b"Signed out: 1", one.body)
        self.assertIn(b"Signed out: 2", others.body)
        self.assertEqual([(await each.fetch("/")).code for each in people], [200, 302, 302, 302])

    async def test_an_old_login_is_asked_for_the_password(self) -> None:
        """Before it sees the devices; nothing else of the session changes."""
        ada = self.person()
        await ada.register()
        self.clock.advance(11 * MINUTE)

        asked = await ada.open("/devices")
        devices = await ada.send("/devices", name="ada", password=PASSWORD)

        self.assertEqual(urlsplit(asked.effective_url).path, "/login")
        self.assertIn(b"this one", devices.body)

    async def test_what_one_says_all_hear_until_they_leave(self) -> None:
        """Who is there comes as events."""
        ada, bob = self.person(), self.person()
        await ada.register()
        await bob.register("bob")
        events: asyncio.Queue[bytes] = asyncio.Queue()
        stream = asyncio.ensure_future(bob.fetch("/members", streaming_callback=events.put_nowait))
        chats = [await each.connect("/chat") for each in (ada, bob)]
        await chats[0].write_message("<b>hello</b>")

        heard = [await each.read_message() for each in chats]
        while b'["ada", "bob"]' not in await events.get():
            pass
        await bob.send("/", to="/logout")

        self.assertEqual(heard, ['{"name": "ada", "text": "<b>hello<\\/b>"}'] * 2)
        self.assertIsNone(await chats[1].read_message())
        self.assertEqual(chats[1].close_code, 4401)
        with self.assertRaises(HTTPClientError):  # it was cut, not finished
            await stream
        self.assertEqual((await bob.fetch("/members")).code, 204)

    async def test_a_file_comes_back_as_it_was(self) -> None:
        """As a download. One that is too large is refused, and leaves the last one as it was."""
        ada, eve = self.person(), self.person()
        await ada.register()
        await eve.register("eve")

        small, large = await ada.upload(b"<script>" * 1000), await ada.upload(b"x" * 10_000_001)
        file = await ada.fetch("/file")

        self.assertEqual((small.code, large.code), (200, 413))
        self.assertEqual(file.body, b"<script>" * 1000)
        self.assertEqual(file.headers["Content-Disposition"], "attachment")
        self.assertEqual((await eve.fetch("/file")).code, 404)

    async def test_an_account_elsewhere_signs_in(self) -> None:
        """Twice as one user, and back to the page that was asked for."""
        ada = self.person()

        page = await ada.send("/login?next=/devices", to="/oauth?next=/devices")
        first = await ada.session()
        await ada.send("/", to="/logout")
        await ada.send("/login", to="/oauth")
        second = await ada.session()

        self.assertIn(b"<strong>ada@127.0.0.1", page.body)
        self.assertIn(b"Your devices", page.body)
        self.assertEqual(first, second)
        self.assertEqual(first, {"user": 1})

    async def test_a_return_that_nobody_has_asked_for_is_refused(self) -> None:
        """One without a state, one with another state, and one that has come before."""
        ada, eve = self.person(), self.person()
        login = await ada.fetch("/login")
        there = await ada.fetch("/oauth", form={"_xsrf": token_of(login)})
        back = await AsyncHTTPClient().fetch(there.headers["Location"], follow_redirects=False, raise_error=False)
        path = back.headers["Location"].removeprefix(f"http://127.0.0.1:{self.port}")

        stolen = [await eve.fetch(each) for each in (path, "/oauth/return?code=x", "/oauth/return?code=x&state=")]
        once, twice = await ada.fetch(path), await ada.fetch(path)

        self.assertEqual([each.code for each in stolen], [403, 403, 403])
        self.assertIsNone(await eve.session())
        self.assertEqual((once.code, twice.code), (302, 403))

    async def test_a_no_at_the_provider_leads_to_the_login(self) -> None:
        """And signs nobody in."""
        ada = self.person()
        self.memory.says_yes = False

        page = await ada.send("/login", to="/oauth")

        self.assertIn(b"The sign-in did not succeed.", page.body)
        self.assertEqual(await ada.session(), {})
