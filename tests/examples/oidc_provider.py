"""Owns a provider with ID tokens: the one of docs/examples/accounts, which signs what it knows of a person."""

from typing import Any

import provider
from joserfc.jwk import RSAKey
from joserfc.jwt import encode
from tornado.web import Application, RequestHandler

CLIENT_ID = provider.CLIENT["client_id"]
KEY = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
STRANGERS_KEY = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
NEVER = 2**40


class Token(provider.Token):
    """Answers with an ID token, too; `changed` in the settings are its faults."""

    def write(self, chunk: Any) -> None:
        asked, settings = self.asked, self.settings
        claims = {"iss": settings["issuer"], "aud": CLIENT_ID, "sub": "4711", "nonce": asked["nonce"], "exp": NEVER}
        kept = {name: value for name, value in {**claims, **settings["changed"]}.items() if value is not None}
        super().write({**chunk, "id_token": encode({"alg": "RS256", "kid": "one"}, kept, settings["key"])})


class Keys(RequestHandler):
    """The public key."""

    def get(self) -> None:
        self.write({"keys": [KEY.as_dict(private=False)]})
