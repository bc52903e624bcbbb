"""A provider of accounts for the tests: OpenID Connect's three URLs, one client, and a person who says yes.

It refuses what a real one refuses: another redirect_uri, a code that was used, a verifier that is not the challenge's.
`python tests/provider.py` serves it on port 9000, and writes provider.json for the application on port 8888.
"""

import asyncio
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe

from tornado.httputil import url_concat
from tornado.web import Application, HTTPError, RequestHandler

REDIRECT_URI = "http://127.0.0.1:8888/oauth/return"
CLIENT = {"client_id": "the-application", "client_secret": "its-secret"}


@dataclass
class Memory:
    """What the provider knows; a test may change it."""

    redirect_uri: str
    person: dict[str, str] = field(default_factory=lambda: {"sub": "4711", "preferred_username": "ada"})
    says_yes: bool = True
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)


class Handler(RequestHandler):
    """What the three have in common."""

    @property
    def memory(self) -> Memory:
        memory: Memory = self.settings["memory"]
        return memory

    def check(self, *conditions: bool) -> None:
        if not all(conditions):
            raise HTTPError(400)


class Authorize(Handler):
    """Asks the person, and sends the browser back with a code."""

    def get(self) -> None:
        asked = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        self.check(asked["client_id"] == CLIENT["client_id"], asked["redirect_uri"] == self.memory.redirect_uri)
        self.check(asked["response_type"] == "code", asked["code_challenge_method"] == "S256")
        answer = {"state": asked["state"], "iss": f"{self.request.protocol}://{self.request.host}"}
        if self.memory.says_yes:
            answer["code"] = token_urlsafe()
            self.memory.codes[answer["code"]] = asked
        else:
            answer["error"] = "access_denied"
        self.redirect(url_concat(asked["redirect_uri"], answer))


class Token(Handler):
    """Changes a code into an access token, once."""

    def post(self) -> None:
        sent = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        asked = self.memory.codes.pop(sent.get("code", ""), {})
        challenge = urlsafe_b64encode(sha256(sent["code_verifier"].encode()).digest()).decode().rstrip("=")
        self.check(asked.get("code_challenge") == challenge, asked.get("redirect_uri") == sent["redirect_uri"])
        self.check(all(sent[name] == value for name, value in CLIENT.items()))
        token = token_urlsafe()
        self.memory.tokens.add(token)
        self.write({"access_token": token, "token_type": "Bearer"})


class UserInfo(Handler):
    """Says who the person is."""

    def get(self) -> None:
        if self.request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.memory.tokens:
            raise HTTPError(401)
        self.write(self.memory.person)


def configuration(issuer: str, redirect_uri: str) -> dict[str, str]:
    """Return what the application has in provider.json: a provider publishes its URLs, and registers the client."""
    paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "userinfo"}
    urls = {name: f"{issuer}/{path}" for name, path in paths.items()}
    return {"issuer": issuer, **urls, **CLIENT, "redirect_uri": redirect_uri}


def make_provider(redirect_uri: str) -> Application:
    """Make a provider that knows one client, who may ask to be answered at this URL."""
    routes = [("/authorize", Authorize), ("/token", Token), ("/userinfo", UserInfo)]
    return Application(routes, memory=Memory(redirect_uri))


async def main() -> None:
    """Serve."""
    make_provider(REDIRECT_URI).listen(9000, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    Path("provider.json").write_text(json.dumps(configuration("http://127.0.0.1:9000", REDIRECT_URI), indent=2))
    asyncio.run(main())
