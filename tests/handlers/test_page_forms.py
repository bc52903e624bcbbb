"""The forms of the page `/`: they change a visitor's session, and nobody can send them in the visitor's name."""

import re
from urllib.parse import urlencode

import pytest
from stage import FORMS, Serve, known, plant

from sessions.meta import is_closed

each_form = pytest.mark.parametrize("action", FORMS)


def form(kind: str, fields: dict[str, str]) -> bytes:
    """A form's body, of one of the two kinds that browsers send."""
    if "boundary" not in kind:
        return urlencode(fields).encode()
    parts = (f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items())
    return "".join([*parts, "--x--\r\n"]).encode()


class TestForms:
    """What they do."""

    @each_form
    async def test_a_form_leads_back(self, serve: Serve, action: str) -> None:
        """By a GET that can be reloaded."""
        site, visitor = await known(serve)
        await site.visitor().set(user="ada")

        response = await visitor.submit(action, **({"key": "a", "value": "1"} if action == "/set" else {}))

        assert (response.status, response.header("Location"), response.body) == (303, "/", b"")

    @pytest.mark.parametrize(
        ("typed", "shown"),
        [("ada", '"ada"'), ('"ada"', '"ada"'), ("3", "3"), ("null", "null"), ('{"a":[1]}', '{"a": [1]}'), ("{a}", '"{a}"'), ("", '""'), ("NaN", '"NaN"')],
    )  # fmt: skip
    async def test_set(self, serve: Serve, typed: str, shown: str) -> None:
        """What is JSON is stored as that, anything else as text."""
        _, visitor = await known(serve)

        await visitor.submit("/set", key="value", value=typed)

        assert (await visitor.page()).data == {"user": '"ada"', "value": shown}

    @pytest.mark.parametrize("value", ["1e400", "12345678901234567890", '{"a": [12345678901234567890]}'])
    async def test_a_value_that_no_session_holds(self, serve: Serve, value: str) -> None:
        """It is the visitor's mistake: the page says so, and nothing is changed."""
        _, visitor = await known(serve)

        response = await visitor.submit("/set", key="user", value=value)

        assert response.status == 400
        assert "session[" in response.text
        assert (await visitor.page()).data == {"user": '"ada"'}

    @pytest.mark.parametrize("action", FORMS)
    @pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
    async def test_a_form_that_is_too_large(self, serve: Serve, action: str, kind: str) -> None:
        """Is a 413 that says how much is read, and changes nothing."""
        _, visitor = await known(serve)
        token = (await visitor.page()).form("/set").fields["_xsrf"]
        fields = {"_xsrf": token, "key": "user", "value": "x" * 102_400}

        response = await visitor.fetch(action, method="POST", body=form(kind, fields), headers={"Content-Type": kind})

        assert response.status == 413
        assert "the form has more than 102400 bytes" in response.text
        assert (await visitor.page()).data == {"user": '"ada"'}

    async def test_the_largest_form(self, serve: Serve) -> None:
        """100 kB are read, as of JSON."""
        _, visitor = await known(serve)
        token = (await visitor.page()).form("/set").fields["_xsrf"]
        rest = len(urlencode({"_xsrf": token, "key": "user", "value": ""}))

        response = await visitor.post("/set", {"_xsrf": token, "key": "user", "value": "x" * (102_400 - rest)})

        assert response.status == 303

    @pytest.mark.parametrize("key", ["cookie", "__meta", "__proto__", "", " "])
    async def test_a_key_that_no_session_has(self, serve: Serve, key: str) -> None:
        """Is refused with a reason."""
        _, visitor = await known(serve)

        response = await visitor.submit("/set", key=key, value="1")

        assert response.status == 400
        assert "<p>session[" in response.text or "<p>the form names no key</p>" in response.text

    async def test_delete(self, serve: Serve) -> None:
        """Takes the one key away."""
        _, visitor = await known(serve, user="ada", theme="dark")

        await visitor.submit("/delete", of="user")

        assert (await visitor.page()).data == {"theme": '"dark"'}

    @pytest.mark.parametrize("key", [" blanks ", ""], ids=["blanks", "empty"])
    async def test_delete_of_a_key_that_the_form_would_not_set(self, serve: Serve, key: str) -> None:
        """What another program has put there can be taken away here."""
        site, visitor = await known(serve)
        await plant(site, visitor, **{key: 1})

        await visitor.submit("/delete", of=key)

        assert (await visitor.page()).data == {"user": '"ada"'}

    @pytest.mark.parametrize("action", ["/delete", "/regenerate"])
    async def test_a_form_that_puts_nothing_in(self, serve: Serve, action: str) -> None:
        """Stores no session where there was none: `saveUninitialized` is off."""
        site = await serve()
        visitor = site.visitor()
        token = (await visitor.page()).form("/set").fields["_xsrf"]

        response = await visitor.post(action, {"_xsrf": token, "key": "user"})

        assert (response.status, response.set_cookies) == (303, [])
        assert await site.store.length() == 0

    async def test_regenerate(self, serve: Serve) -> None:
        """Another id, no data, and the old id is nobody's."""
        site, visitor = await known(serve)
        old = visitor.sid
        assert old is not None

        await visitor.submit("/regenerate")

        left = await site.store.get(old)
        assert left is not None
        assert is_closed(left, site.clock())
        assert visitor.sid != old
        assert (await visitor.page()).data == {}

    async def test_destroy(self, serve: Serve) -> None:
        """Nothing is left, neither in the store nor in the browser."""
        site, visitor = await known(serve)

        await visitor.submit("/destroy")

        assert await site.store.length() == 0
        assert visitor.cookie() is None
        assert "A new one" in (await visitor.page()).text


class TestForged:
    """What others cannot do in a visitor's name."""

    @each_form
    @pytest.mark.parametrize("token", [None, "", "guessed", "another visitor's"])
    async def test_a_form_without_its_token(self, serve: Serve, action: str, token: str | None) -> None:
        """Is a 403, and the session stays as it was."""
        site, visitor = await known(serve)
        if token == "another visitor's":
            token = (await site.visitor().page()).form("/set").fields["_xsrf"]
        fields = {"key": "user", "value": "eve"} | ({} if token is None else {"_xsrf": token})

        response = await visitor.post(action, fields)

        assert response.status == 403
        assert response.set_cookies == []
        assert (await visitor.page()).data == {"user": '"ada"'}

    @each_form
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
    async def test_a_link_changes_nothing(self, serve: Serve, action: str, method: str) -> None:
        """Only a POST does: a link, an image or a prefetch does not."""
        site, visitor = await known(serve)
        token = (await visitor.page()).form("/set").fields["_xsrf"]
        before = await site.store.get(visitor.sid or "")

        query = f"{action}?key=user&value=eve&_xsrf={token.replace('|', '%7C')}"
        response = await visitor.fetch(query, method=method)

        assert response.status == 405
        assert await site.store.get(visitor.sid or "") == before

    async def test_every_form_of_the_page_has_a_token(self, serve: Serve) -> None:
        """And posts, to this server."""
        site, visitor = await known(serve)
        await site.visitor().set(user="ada")

        forms = (await visitor.page()).forms

        assert sorted(form.action for form in forms) == sorted(FORMS)
        assert all(form.method == "post" and form.fields["_xsrf"] for form in forms)

    async def test_the_tokens_cookie_is_out_of_reach(self, serve: Serve) -> None:
        """Of scripts, and of other sites."""
        site = await serve()

        response = await site.visitor().fetch("/")

        (cookie,) = response.set_cookies
        assert re.match("_xsrf=.*; HttpOnly; Path=/; SameSite=Lax", cookie)
