"""Owns a small OAuth provider for tests, on a port and a thread of its own: it grants whoever asks, and checks PKCE.

`/authorize` redirects back with a code, `/token` gives the tokens for it once, `/user` says who has a token.
"""

import hashlib
import json
import secrets
import threading
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

USER = "ada"
TOKEN = "t" * 2_000
"""As long as those with a few groups in them."""


class _Provider(BaseHTTPRequestHandler):
    server: "OAuthProvider"

    def do_GET(self) -> None:
        path, asked = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        if path == "/authorize":
            code = secrets.token_urlsafe()
            self.server.codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"]})
            callback = asked.get("redirect_uri") or self.server.callback
            self._answer(302, Location=f"{callback}{'&' if '?' in callback else '?'}{back}")
        else:
            granted = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            self._answer(200 if granted else 401, {"id": 7, "login": USER} if granted else {})

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        asked = self.server.codes.pop(form.get("code", ""), None)
        proof = urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if asked is None or asked.get("code_challenge", proof) != proof:
            self._answer(400, {"error": "invalid_grant"})
            return
        tokens = {"access_token": TOKEN, "refresh_token": TOKEN, "id_token": TOKEN}
        self._answer(200, {**tokens, "token_type": "Bearer", "expires_in": 3600, "user": USER})

    def _answer(self, status: int, body: dict[str, Any] | None = None, **headers: str) -> None:
        data = json.dumps(body or {}).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class OAuthProvider(ThreadingHTTPServer):
    """The provider, at work while the block runs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Provider)
        self.codes: dict[str, dict[str, str]] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.callback = ""
        """Where it redirects to if a request does not say it."""
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
