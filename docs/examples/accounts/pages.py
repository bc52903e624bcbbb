"""Owns the pages: register, sign in and out, the password, the devices. All handlers derive from `Page`."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from tornado.web import HTTPError, authenticated

from sessions import SessionMixin, fresh
from user_table import REFUSED, User, UserTable


class Page(SessionMixin):
    """A handler that knows its user. The template of a page has the name of its class.

    What is refused is said above the form, which is shown again.
    """

    _user: User | None = None

    def initialize(self) -> None:
        self.users: UserTable = self.settings["users"]
        self.template = f"{type(self).__name__.lower()}.html"

    async def user_stamp(self, user: str | int) -> str | None:
        self._user = await self.users.get(user)
        return self._user and self._user.stamp  # a session with another stamp ends

    @property
    def user(self) -> User:
        if self._user is None:
            raise HTTPError(401)
        return self._user

    @property
    def file(self) -> Path:
        return Path(self.settings["uploads"], str(self.user.id))

    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", "default-src 'self'; base-uri 'none'; frame-ancestors 'none'")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")  # or the button "back" shows a page after the sign-out

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == REFUSED:
            self.render(self.template, problem=kwargs["exc_info"][1].log_message)
        else:
            self.render("error.html", status=status_code)


class Home(Page):
    """The first page: the chat, and the user's file."""

    @authenticated
    def get(self) -> None:
        self.render(self.template, has_file=self.file.exists())


class Register(Page):
    """A new user, who is signed in at once."""

    def get(self) -> None:
        self.render(self.template, problem="")

    async def post(self) -> None:
        name, password = self.get_body_argument("name"), self.get_body_argument("password", strip=False)
        user = await self.users.register(name.lower(), password)
        await self.sign_in(user.id, stamp=user.stamp)
        self.flash(f"Welcome, {user.name}.")
        self.redirect("/")


class Login(Page):
    """The login. `@fresh` asks for the password here, too."""

    def get(self) -> None:
        self.render(self.template, problem="")

    async def post(self) -> None:
        name, password = self.get_body_argument("name"), self.get_body_argument("password", strip=False)
        user = await self.users.check(name.lower(), password)
        if self.get_query_argument("fresh", "") and user.id == self.current_user:
            await self.confirm()
        else:
            remember = timedelta(days=30) if self.get_body_argument("remember", "") else None
            await self.sign_in(user.id, remember, user.stamp)  # the stamp that was read with the password
        self.redirect(self.next_url())


class Logout(Page):
    """The end of this session, or of all sessions of the user."""

    async def post(self) -> None:
        await self.sign_out(everywhere=bool(self.get_body_argument("everywhere", "")))
        self.redirect("/login")


class Password(Page):
    """A new password, which signs the user out everywhere else."""

    @authenticated
    def get(self) -> None:
        self.render(self.template, problem="")

    @authenticated
    async def post(self) -> None:
        old, new = (self.get_body_argument(field, strip=False) for field in ("old", "new"))
        await self.users.check(self.user.name, old)
        user = await self.users.change_password(self.user, new)
        await self.confirm(user.stamp)  # every other session has the old stamp, and ends at its next request;
        await self.settings["sessions"].revoke_all(user.id, keep=self.session)  # those with an open socket end now
        self.flash("The password is changed. You are signed out on all other devices.")
        self.redirect("/")


class Devices(Page):
    """Where the user is signed in. An old login is not enough: `@fresh` asks for the password again."""

    @fresh(minutes=10)
    async def get(self) -> None:
        self.render(self.template, devices=await self.settings["sessions"].sessions_of(self.user.id, self.session))

    @fresh(minutes=10)
    async def post(self) -> None:
        manager, user, handle = self.settings["sessions"], self.user.id, self.get_body_argument("handle", "")
        ended = await (manager.revoke(user, handle) if handle else manager.revoke_all(user, keep=self.session))
        self.flash(f"Signed out: {ended}")
        self.redirect("/devices")
