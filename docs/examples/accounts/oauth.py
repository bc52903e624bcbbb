"""Owns the sign-in with an account elsewhere: the code flow of OAuth 2.0 with PKCE, at an OpenID Connect provider."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from secrets import token_urlsafe
from urllib.parse import urlencode, urlsplit

from tornado.escape import json_decode
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httputil import url_concat
from tornado.web import HTTPError

from pages import Page


class ToProvider(Page):
    """The way there. The session keeps what the way back has to match."""

    async def post(self) -> None:
        provider, state, verifier = self.settings["provider"], token_urlsafe(), token_urlsafe()
        self.session["oauth"] = {"state": state, "verifier": verifier, "next": self.next_url()}
        asked = {name: provider[name] for name in ("client_id", "redirect_uri")}
        asked |= {"response_type": "code", "scope": "openid profile", "state": state, "code_challenge_method": "S256"}
        asked["code_challenge"] = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        asked |= {"prompt": "login"} if self.current_user else {}  # it is `@fresh` who asks: for the password again
        self.redirect(url_concat(provider["authorization_endpoint"], asked), status=303)


class FromProvider(Page):
    """The way back, which is good once: what waits in the session is taken out of it."""

    async def get(self) -> None:
        provider, waiting, fetch = self.settings["provider"], self.session.pop("oauth", {}), AsyncHTTPClient().fetch
        state, issuer, code = (self.get_query_argument(each, "") for each in ("state", "iss", "code"))
        if state != waiting.get("state") or issuer not in ("", provider["issuer"]):
            raise HTTPError(403)
        try:
            sent = {name: provider[name] for name in ("client_id", "client_secret", "redirect_uri")}
            sent |= {"grant_type": "authorization_code", "code": code, "code_verifier": waiting["verifier"]}
            tokens = json_decode((await fetch(provider["token_endpoint"], method="POST", body=urlencode(sent))).body)
            headers = {"Authorization": f"Bearer {tokens['access_token']}"}
            person = json_decode((await fetch(provider["userinfo_endpoint"], headers=headers)).body)
        except (HTTPClientError, OSError):  # the provider is away, or says no; or the person has, and there is no code
            self.flash("The sign-in did not succeed.")
            self.redirect("/login")
            return
        name = f"{person.get('preferred_username', 'somebody')}@{urlsplit(provider['issuer']).netloc}"
        user = await self.users.at_provider(f"{provider['issuer']} {person['sub']}", name)
        await self.sign_in(user.id, stamp=user.stamp)
        self.redirect(waiting["next"])
