"""Owns a provider with ID tokens: the one of docs/examples/accounts, which signs what it knows of a person."""

from typing import Any

from joserfc.jwk import RSAKey
from joserfc.jwt import encode
from tornado.web import Application, RequestHandler

import provider

CLIENT_ID = provider.CLIENT["client_id"]
KEY = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
STRANGERS_KEY = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
NEVER = 2**40


class Token(provider.Token):
    """Answers with an ID token, too; `changed` in the settings are its faults."""

    def post(self) -> None:
        """Remember what was asked for with the code."""
        self.asked = self.memory.codes.get(self.get_body_argument("code"), {})
        super().post()

    def write(self, chunk: Any) -> None:
        """Add the ID token; an error page is as it is."""
        asked, settings = self.asked, self.settings
        if not isinstance(chunk, dict):
            super().write(chunk)
            return
        claims = {"iss": settings["issuer"], "aud": CLIENT_ID, "sub": "4711", "nonce": asked["nonce"], "exp": NEVER}
        kept = {name: value for name, value in {**claims, **settings["changed"]}.items() if value is not None}
        super().write({**chunk, "id_token": encode({"alg": "RS256", "kid": "one"}, kept, settings["key"])})


class Keys(RequestHandler):
    """The public key."""

    def get(self) -> None:
        self.write({"keys": [KEY.as_dict(private=False)]})


def make_provider(redirect_uri: str, issuer: str) -> Application:
    """Make a provider that knows one client."""
    routes = [("/authorize", provider.Authorize), ("/token", Token), ("/keys", Keys)]
    return Application(routes, memory=provider.Memory(redirect_uri), issuer=issuer, changed={}, key=KEY)


def configuration(issuer: str, redirect_uri: str) -> dict[str, str]:
    """What the application knows of it."""
    return {**provider.configuration(issuer, redirect_uri), "jwks_uri": f"{issuer}/keys"}
