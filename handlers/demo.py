"""Owns the two endpoints of the example that this server is the Tornado form of."""

from .base import BaseHandler


class Demo(BaseHandler):
    """A handler that answers in plain text and takes no forms."""

    def set_default_headers(self) -> None:
        """Plain text: what is in a session is not markup."""
        super().set_default_headers()
        self.set_header("Content-Type", "text/plain; charset=UTF-8")

    def check_xsrf_cookie(self) -> None:
        """There is no POST here to protect."""


class SetSession(Demo):
    """Puts a user name into the session: with `userKey = "username"` that is the login."""

    async def get(self) -> None:
        """Store the name, and keep the id, as Express's example does; a login with a password calls `sign_in()`."""
        self.session["username"] = "exampleuser"
        self.write("Session data set successfully")


class GetSession(Demo):
    """Shows what was put there."""

    async def get(self) -> None:
        """Show the user name; `undefined`, as Express prints it, for a visitor who has none."""
        self.write(f"Session data: {self.session.get('username', 'undefined')}")
