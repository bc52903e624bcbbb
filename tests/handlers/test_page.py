"""The page `/`: it shows visitors their session, its forms change it, and nothing on it can be turned against them."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlencode

import pytest
from clock import HOUR, MINUTE
from stage import Site, Visitor

from handlers import routes
from sessions import StoredSession
from sessions.formats.signing import fingerprint
from sessions.meta import is_closed

Serve = Callable[..., Any]

CONFIG = "[session]\ncookie.maxAge = 7200000\n"
FORMS = ["/set", "/delete", "/regenerate", "/destroy"]
each_form = pytest.mark.parametrize("action", FORMS)

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</td></table><form action=//evil.example>",
    "&lt;b&gt; &amp;",
    "{{ 1 + 1 }}{% raw x %}",
    "ü 😀 \u202e",
]
each_hostile = pytest.mark.parametrize("text", HOSTILE)


async def known(serve: Serve, config: str = CONFIG, **data: str) -> tuple[Site, Visitor]:
    """A site and a visitor who has a session with these keys."""
    site: Site = await serve(config)
    visitor = site.visitor()
    await visitor.set(**(data or {"user": "ada"}))
    return site, visitor


async def plant(site: Site, visitor: Visitor, **data: Any) -> None:
    """Put into the visitor's session what another program might have put there."""
    assert visitor.sid is not None
    stored = await site.store.get(visitor.sid)
    assert stored is not None
    text = json.dumps(json.loads(stored.data) | data)
    await site.store.set(visitor.sid, StoredSession(text, stored.expires_at))


def form(kind: str, fields: dict[str, str]) -> bytes:
    """A form's body, of one of the two kinds that browsers send."""
    if "boundary" not in kind:
        return urlencode(fields).encode()
    parts = (f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items())
    return "".join([*parts, "--x--\r\n"]).encode()


class TestShows:
    """What stands on it."""

    async def test_a_new_visitor_has_nothing(self, serve: Serve) -> None:
        """And to look makes no session."""
        site: Site = await serve()

        page = await site.visitor().page()

        assert page.data == {}
        assert "A new one" in page.text
        assert await site.store.length() == 0

    async def test_the_data(self, serve: Serve) -> None:
        """Each key with its value as JSON."""
        _, visitor = await known(serve, user="ada", basket='{"apples": [1, 2]}')

        page = await visitor.page()

        assert page.data == {"user": '"ada"', "basket": '{"apples": [1, 2]}'}

    async def test_the_cookies_attributes(self, serve: Serve) -> None:
        """As they are sent to this visitor, without the id."""
        site: Site = await serve(CONFIG + 'name = "my.sid"\ncookie.priority = "high"\n')
        visitor = site.visitor()
        sent = await visitor.submit("/set", key="user", value="ada")

        page = await visitor.page()

        attributes = sent.set_cookies[0].partition("; ")[2]
        assert "Priority=High" in attributes
        assert f"Set-Cookie: my.sid=…; {attributes}" in page.text

    @pytest.mark.parametrize(
        ("passed", "left"), [(0, "2 hours"), (5 * MINUTE, "115 minutes"), (2 * HOUR - 1500, "2 seconds")]
    )
    async def test_the_time_left(self, serve: Serve, passed: int, left: str) -> None:
        """Counted from the request before."""
        site, visitor = await known(serve)

        site.clock.forward(passed)
        page = await visitor.page()

        assert f"{left}, counted from your last request" in page.text

    async def test_a_session_without_max_age(self, serve: Serve) -> None:
        """Lasts as long as the browser, and `ttl` at the server."""
        _, visitor = await known(serve, "[session]\nttl = 10800000\n")

        page = await visitor.page()

        assert "Until you close the browser; the server forgets it 3 hours after your last request" in page.text

    @pytest.mark.parametrize("proxied", [False, True])
    async def test_a_secure_cookie_that_is_withheld(self, serve: Serve, proxied: bool) -> None:
        """Is said to be, with the remedy; and is not, where it is sent."""
        site: Site = await serve("[session]\nproxy = true\nsaveUninitialized = true\ncookie.secure = true\n")

        page = await site.visitor(proxied=proxied).page()

        assert ("Not sent: the cookie is Secure" in page.text) is not proxied

    async def test_the_endpoints_are_a_click_away(self, serve: Serve) -> None:
        """Both of the example's, for a new visitor too."""
        site: Site = await serve()

        page = await site.visitor().page()

        assert page.links == ["/set-session", "/get-session"]

    async def test_what_cannot_be_undone_is_marked(self, serve: Serve) -> None:
        """Delete and Destroy, and no other button."""
        _, visitor = await known(serve)

        page = await visitor.page()

        assert page.buttons == {"Delete": "danger", "Set": "", "Regenerate": "", "Destroy": "danger"}

    async def test_the_log_name_is_explained(self, serve: Serve) -> None:
        """It is the one that the log's lines have."""
        _, visitor = await known(serve)

        page = await visitor.page()

        assert f"Its log calls it {fingerprint(visitor.sid or '')}: a name made from the id" in page.text


class TestForms:
    """What can be done on it."""

    @each_form
    async def test_a_form_leads_back(self, serve: Serve, action: str) -> None:
        """By a GET that can be reloaded."""
        _, visitor = await known(serve)

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
        """Is the visitor's mistake, who is told; nothing is changed."""
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
        site: Site = await serve()
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
        _, visitor = await known(serve)

        forms = (await visitor.page()).forms

        assert sorted(form.action for form in forms) == sorted(FORMS)
        assert all(form.method == "post" and form.fields["_xsrf"] for form in forms)

    async def test_the_tokens_cookie_is_out_of_reach(self, serve: Serve) -> None:
        """Of scripts, and of other sites."""
        site: Site = await serve()

        response = await site.visitor().fetch("/")

        (cookie,) = response.set_cookies
        assert re.match("_xsrf=.*; HttpOnly; Path=/; SameSite=Lax", cookie)


class TestSafe:
    """What it shows of others' making, and what it does not show."""

    @each_hostile
    async def test_hostile_text_is_text(self, serve: Serve, text: str) -> None:
        """As a key and as a value: the page has no tag that it would not have without, and the key can be deleted."""
        site, visitor = await known(serve, user="ada")
        harmless = await visitor.page()
        await visitor.submit("/delete", of="user")
        await plant(site, visitor, **{text: text})

        page = await visitor.page()

        assert page.data == {text: json.dumps(text, ensure_ascii=False)}
        assert page.tags == harmless.tags
        assert [name for name, _ in page.attributes] == [name for name, _ in harmless.attributes]
        assert (await visitor.submit("/delete", of=text)).status == 303
        assert (await visitor.page()).data == {}

    @pytest.mark.parametrize("text", HOSTILE[:3])
    async def test_hostile_text_in_an_error(self, serve: Serve, text: str) -> None:
        """A message that repeats what was sent repeats it as text."""
        _, visitor = await known(serve)

        response = await visitor.submit("/set", key=text, value='[12345678901234567890, "%s"]')

        assert response.status == 400
        assert "<img" not in response.text
        assert "<script" not in response.text

    async def test_it_works_without_scripts(self, serve: Serve) -> None:
        """There is none on it, and nothing from elsewhere."""
        _, visitor = await known(serve)

        page = await visitor.page()

        assert not {"script", "iframe", "object", "embed", "base"} & set(page.tags)
        assert [name for name, _ in page.attributes if name.startswith("on")] == []
        links = [value for name, value in page.attributes if name in ("href", "src", "action")]
        assert set(links) <= {"data:,", "/", "/set-session", "/get-session", *FORMS}

    async def test_the_id_is_nowhere_but_in_set_cookie(self, serve: Serve) -> None:
        """Not on a page, in a header or in an error, whatever is asked for and by whatever method."""
        _, visitor = await known(serve)
        sid, cookie = visitor.sid, visitor.cookie()
        assert sid is not None
        assert cookie is not None
        hidden = (sid, cookie.value, unquote(cookie.value).rpartition(".")[2])

        answers = [
            await visitor.fetch(path, method=method)
            for path in [*(str(route) for route, _ in routes if route not in FORMS), *FORMS, "/nowhere"]
            for method in ("GET", "POST")
        ]
        answers.append(await visitor.submit("/set", key="a", value="1"))

        for answer in answers:
            headers = "\n".join(value for name, value in answer.headers if name != "Set-Cookie")
            assert [each for each in hidden if each in answer.text + headers] == []
        assert {answer.status for answer in answers} == {200, 303, 403, 404, 405}

    async def test_what_is_private_is_not_kept(self, serve: Serve) -> None:
        """By no cache, the browser's own included: after a logout "back" shows nothing."""
        _, visitor = await known(serve)
        await visitor.page()  # which ties the token of its forms to the session

        response = await visitor.fetch("/")

        assert response.set_cookies == []
        assert response.header("Cache-Control") == "no-store"
        assert "Cookie" in (response.header("Vary") or "")
