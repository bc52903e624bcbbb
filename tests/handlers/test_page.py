"""The page `/`: it shows visitors their session, and nothing that others have put there can be turned against them."""

import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from clock import HOUR, MINUTE
from stage import CONFIG, FORMS, Serve, known, plant

from handlers import routes
from handlers.page import READ_ON
from sessions.formats.signing import fingerprint

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</td></table><form action=//evil.example>",
    "&lt;b&gt; &amp;",
    "{{ 1 + 1 }}{% raw x %}",
    "ü 😀 \u202e",
]
ROOT = Path(__file__).parents[2]
LINKS = [f"/docs/{file}" for file in READ_ON]
each_hostile = pytest.mark.parametrize("text", HOSTILE)


class TestShows:
    """The text on it."""

    async def test_a_new_visitor_has_nothing(self, serve: Serve) -> None:
        """And to look makes no session."""
        site = await serve()

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
        site = await serve(CONFIG + 'name = "my.sid"\ncookie.priority = "high"\n')
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
        site = await serve("[session]\nproxy = true\nsaveUninitialized = true\ncookie.secure = true\n")

        page = await site.visitor(proxied=proxied).page()

        assert ("Not sent: the cookie is Secure" in page.text) is not proxied

    async def test_the_endpoints_and_documents_are_a_click_away(self, serve: Serve) -> None:
        """Both of the example's, and what there is to read, for a new visitor too."""
        site = await serve()

        page = await site.visitor().page()

        assert page.links == ["/set-session", "/get-session", *LINKS]

    @pytest.mark.parametrize("link", LINKS)
    async def test_a_document_is_shown_as_it_is(self, serve: Serve, link: str) -> None:
        """As text, and nobody gets a session by reading it."""
        site = await serve()

        response = await site.visitor().fetch(link)

        assert response.text == (ROOT / link.removeprefix("/")).read_text("utf-8")
        assert response.header("Content-Type") == "text/plain; charset=UTF-8"
        assert response.set_cookies == []

    @pytest.mark.parametrize(
        "name", ["nothing.md", "page.png", "..%2FREADME.md", "../config.toml", "deployment/README.md"]
    )
    async def test_nothing_else_is_a_document(self, serve: Serve, name: str) -> None:
        """Whatever lies beside it."""
        site = await serve()

        assert (await site.visitor().fetch(f"/docs/{name}")).status == 404

    async def test_what_cannot_be_undone_is_marked(self, serve: Serve) -> None:
        """Delete, Destroy and what ends other sessions, and no other button."""
        site, visitor = await known(serve)
        await site.visitor().set(user="ada")

        page = await visitor.page()

        marked = dict.fromkeys(("Delete", "Destroy", "End", "End all others"), "danger")
        assert page.buttons == {**marked, "Set": "", "Regenerate": ""}

    async def test_the_log_name_is_explained(self, serve: Serve) -> None:
        """It is the one that the log's lines have."""
        _, visitor = await known(serve)

        page = await visitor.page()

        assert f"{fingerprint(visitor.sid or '')} is what the log calls it: a name made from the id" in page.text


class TestSafe:
    """What it shows of others' making, and what it does not show."""

    @each_hostile
    async def test_hostile_text_is_text(self, serve: Serve, text: str) -> None:
        """As a key and as a value: the page has no tag that it would not have without, and the key can be deleted."""
        site, visitor = await known(serve, name="ada")
        harmless = await visitor.page()
        await visitor.submit("/delete", of="name")
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
        assert set(links) <= {"data:,", "/", "/set-session", "/get-session", *LINKS, *FORMS}

    async def test_the_id_is_nowhere_but_in_set_cookie(self, serve: Serve) -> None:
        """Not on a page, in a header or in an error, whatever is asked for and by whatever method."""
        site, visitor = await known(serve)
        other = site.visitor()
        await other.set(user="ada")
        cookies = (visitor.kept().value, other.kept().value)
        hidden = (visitor.sid, other.sid, *cookies, *(unquote(each).rpartition(".")[2] for each in cookies))

        answers = [
            await visitor.fetch(path, method=method)
            for path in [*(str(route) for route, _ in routes if route not in FORMS), *FORMS, "/nowhere"]
            for method in ("GET", "POST")
        ]
        answers.append(await visitor.submit("/set", key="a", value="1"))

        for answer in answers:
            headers = "\n".join(value for name, value in answer.headers if name != "Set-Cookie")
            assert [each for each in hidden if str(each) in answer.text + headers] == []
        assert {answer.status for answer in answers} == {200, 303, 403, 404, 405}

    async def test_what_is_private_is_not_kept(self, serve: Serve) -> None:
        """By no cache, the browser's own included: after a logout "back" shows nothing."""
        _, visitor = await known(serve)
        await visitor.page()  # which ties the token of its forms to the session

        response = await visitor.fetch("/")

        assert response.set_cookies == []
        assert response.header("Cache-Control") == "no-store"
        assert "Cookie" in (response.header("Vary") or "")
