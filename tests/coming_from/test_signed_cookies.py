"""docs/coming-from/signed-cookies.md: a login by cookie and one by session, and the visitors of the one at the other."""

from .blocks import copy_of, manager, module, visitor


async def test_both_sides_sign_in_and_out() -> None:
    """To a visitor they are the same application."""
    after = module("session_app.py")
    seen = []
    for app in (module("cookie_app.py").make_app(), after.make_app(manager(after.OPTIONS))):
        async with visitor(app) as browser:
            stranger = await browser.fetch("/")
            await browser.fetch("/login", form={"user": "ada"})
            home = await browser.fetch("/")
            await browser.fetch("/logout", form={})
            left = await browser.fetch("/")
            seen.append((stranger.code, stranger.headers["Location"], home.body, left.code))

    assert seen == [(302, "/login?next=%2F", b"Good day, ada", 302)] * 2


async def test_an_old_cookie_becomes_a_session() -> None:
    """At the first request, under an id of its own; the old cookie goes."""
    after = module("session_app.py")
    async with visitor(module("cookie_app.py").make_app()) as old:
        await old.fetch("/login", form={"user": "ada"})

        async with visitor(after.make_app(manager(after.OPTIONS))) as new:
            new.jar = old.jar
            answers = [(await new.fetch("/")).body for _ in range(2)]
            names = {cookie.name for cookie in new.jar.all()}
            found = await new.manager.sessions_of("ada")

    assert answers == [b"Good day, ada"] * 2
    assert names == {"connect.sid"}
    assert len(found) == 1


async def test_a_copy_of_a_signed_cookie_outlives_the_sign_out() -> None:
    """Of a session's cookie it does not."""
    after = module("session_app.py")
    codes = []
    for app in (module("cookie_app.py").make_app(), after.make_app(manager(after.OPTIONS))):
        async with visitor(app) as browser:
            await browser.fetch("/login", form={"user": "ada"})
            copy = copy_of(browser)
            await browser.fetch("/logout", form={})
            codes.append((await copy.fetch("/")).code)

    assert codes == [200, 302]
