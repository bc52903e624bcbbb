"""docs/coming-from/rest-api.md: a table of tokens and the option `header`, seen by their clients."""

from tornado.web import Application, RequestHandler

from sessions import SessionOptions
from sessions.testing import Browser, Clock

from .blocks import manager, module, visitor

DAY = 86_400_000


async def test_a_client_signs_in_and_out_at_both_sides() -> None:
    """Before by a token in the body, after by the answer's header."""
    before, after = module("tokens_before.py"), module("tokens_after.py")
    async with visitor(before.make_app()) as client:
        login = await client.fetch("/login", form={"user": "ada"})
        sent = {"X-Auth-Token": login.body.decode().split('"')[3]}
        old: list[bytes | int] = [(await client.fetch("/me", headers=sent)).body]
        await client.fetch("/logout", form={}, headers=sent)
        old.append((await client.fetch("/me", headers=sent)).code)
    async with visitor(after.make_app(manager(after.OPTIONS))) as client:
        login = await client.fetch("/login", form={"user": "ada"}, headers={"X-Session": "new"})
        sent = {"X-Session": login.headers["X-Session"]}
        new: list[bytes | int] = [(await client.fetch("/me", headers=sent)).body]
        logout = await client.fetch("/logout", form={}, headers=sent)
        new.append((await client.fetch("/me", headers=sent)).code)

    assert old == new == [b'{"user": "ada"}', 401]
    assert logout.headers["X-Session"] == ""
    assert client.jar.all() == []


async def test_a_token_ends_a_day_after_its_last_use() -> None:
    """Without a job that deletes it."""
    after, clock = module("tokens_after.py"), Clock()
    async with visitor(after.make_app(manager(after.OPTIONS, clock))) as client:
        login = await client.fetch("/login", form={"user": "ada"}, headers={"X-Session": "new"})
        sent, codes = {"X-Session": login.headers["X-Session"]}, []
        for pause in (DAY - 60_000, DAY - 60_000, DAY + 60_000):
            clock.advance(pause)
            codes.append((await client.fetch("/me", headers=sent)).code)

    assert codes == [200, 200, 401]


async def test_an_old_token_counts_beside_a_session() -> None:
    """And makes none."""
    both = module("tokens_both.py")
    both.TOKENS["of a client that nobody updates"] = "eve"

    def get(self: RequestHandler) -> None:
        self.write(str(self.current_user))

    handler = type("Who", (both.Api,), {"get": get})
    options = SessionOptions(
        secret="a secret of these tests, which is long enough", user_key="user", header="X-Session"
    )
    app = Application([("/", handler)], sessions=manager(options))
    async with visitor(app) as client:
        await client.sign_in("ada")
        session = await client.fetch("/")
        other = Browser(client.port, manager=client.manager)
        token = await other.fetch("/", headers={"X-Auth-Token": "of a client that nobody updates"})
        nobody = await other.fetch("/", headers={"X-Auth-Token": "another"})
        found = await client.manager.sessions_of("eve")

    assert (session.body, token.body, nobody.body) == (b"ada", b"eve", b"None")
    assert found == []
