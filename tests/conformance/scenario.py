"""Owns the playing of one scenario: requests, browsers' jars and the normalised view of what was observed.

A port of the oracle's client.js. It speaks the protocol of the generic test application and knows nothing of
this library.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from .http_client import Client, Cut, Response
from .jstime import TWENTY_YEARS, parse_date, relative_date, relative_iso, relative_ms

Json = dict[str, Any]

_UID24 = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
_INDEX = re.compile(r"0|[1-9]\d*", re.ASCII)
_UNRESERVED = "!'()*-._~"
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FIRST_COUNTS = {"content-length", "content-type", "date", "location", "etag", "expires", "last-modified"}
"""Response headers of which Node keeps the first; it joins the values of others."""


class HttpControl:
    """The control calls of a server under test, over HTTP."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, name: str, message: Json) -> Json:
        """One control call. Raises RuntimeError when the server does not answer it with JSON and 200."""
        body = json.dumps(message).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        answer = await self._client.request("POST", f"/__oracle__/{name}", headers, body)
        if answer.status != 200:
            raise RuntimeError(f"control {name}: HTTP {answer.status} {answer.body[:300]}")
        result: Json = json.loads(answer.body)
        return result


@dataclass
class Target:
    """A server under test."""

    client: Client
    control: Callable[[str, Json], Awaitable[Json]]
    """A control call of the protocol: name and message → answer."""


async def play(scenario: Json, target: Target, **opening: object) -> Json:
    """Play it and return {"steps": [...]} or {"open_error": {...}}. `opening` is added to the `open` call."""
    return await _Run(scenario, target).play(opening)


def _encode(text: str) -> str:
    """JavaScript's encodeURIComponent."""
    return quote(text, safe=_UNRESERVED)


def _decode(text: str) -> str:
    """JavaScript's decodeURIComponent; the text itself where that raises."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return text


def _mac(sid: str, secret: str | Json) -> str:
    key = bytes.fromhex(secret["hex"]) if isinstance(secret, dict) else secret.encode()
    return base64.b64encode(hmac.digest(key, sid.encode(), hashlib.sha256)).decode().rstrip("=")


def _secrets_of(app: Json) -> list[str | Json]:
    options = app.get("options") or {}
    found = app.get("verify_secrets", options.get("secret", (app.get("setup") or {}).get("req_secret")))
    if found is None or found == "":
        return []
    return found if isinstance(found, list) else [found]


def _key_order(mapping: Mapping[str, object]) -> list[str]:
    """The keys as JavaScript enumerates them: integer-like ones first, ascending."""
    indices = [key for key in mapping if _INDEX.fullmatch(key)]
    return sorted(indices, key=int) + [key for key in mapping if key not in indices]


def _tamper(kind: str | None, sid: str, sig: str) -> tuple[str, str]:  # noqa: C901, PLR0911 - the protocol's words
    def flip(char: str) -> str:
        return "B" if char == "A" else "A"

    match kind:
        case None:
            return sid, sig
        case "sig_first":
            return sid, flip(sig[0]) + sig[1:]
        case "sig_last":  # same decoded bytes, other text: the two low bits of the 43rd character are padding
            return sid, sig[:-1] + _BASE64[_BASE64.index(sig[-1]) ^ 1]
        case "sig_padded":
            return sid, sig + "="
        case "sig_urlsafe":
            return sid, sig.replace("+", "-").replace("/", "_")
        case "sig_truncated":
            return sid, sig[:-1]
        case "sig_empty":
            return sid, ""
        case "sid_last":
            return sid[:-1] + flip(sid[-1]), sig
        case "sid_extra":
            return sid + ".x", sig
        case "sid_chop":
            return sid[:-3], sig
    raise ValueError(f"unknown tamper {kind}")


class _Run:
    def __init__(self, scenario: Json, target: Target) -> None:
        self._scenario = scenario
        self._client = target.client
        self._control = target.control
        plain = {key: scenario[key] for key in ("options", "setup", "verify_secrets") if key in scenario}
        self._apps: dict[str, Json] = scenario.get("apps") or {"main": plain}
        self._labels: dict[str, str] = {}  # session id -> s1, s2, ..
        self._jars: dict[str, dict[str, tuple[str, str | None]]] = {}  # jar -> name -> (pair, session id)
        self._sent: set[str] = set()  # ids that were ever handed out in a Set-Cookie
        self._offset = 0
        self._frozen_at: int | None = None
        self._requests = 0
        self._world = ""

    async def play(self, opening: Mapping[str, object]) -> Json:
        store = self._scenario.get("store") or {}
        opened = await self._control("open", {"apps": self._apps, "store": store, **opening})
        if not opened["ok"]:
            return {"open_error": {"app": opened.get("app"), "error": opened.get("error")}}
        self._world = opened["world"]
        self._frozen_at = opened.get("now")
        steps: list[Json] = []
        under_way: dict[str, Callable[[], Awaitable[Json]]] = {}
        try:
            for step in self._scenario["steps"]:
                if "join" in step:
                    steps.append(await under_way.pop(step["join"])())
                    continue
                await self._prepare(step)
                if step.get("noop"):
                    steps.append(await self._idle(step))
                    continue
                finish = self._start(step)
                if "async" in step:
                    under_way[step["async"]] = finish
                    steps.append({"started": True})
                else:
                    steps.append(await finish())
        finally:
            await asyncio.gather(*(finish() for finish in under_way.values()), return_exceptions=True)
            await self._control("close", {"world": self._world})
        return {"steps": steps}

    async def _prepare(self, step: Json) -> None:
        if ms := step.get("sleep_ms"):
            moved = await self._control("control", {"world": self._world, "do": [{"do": "advance", "ms": ms}]})
            if "unsupported" in moved["results"][0]:
                await asyncio.sleep(ms / 1000)
            else:
                self._offset += ms
        if before := step.get("before"):
            do = [{**one, "sid": self._sid(one["sid"])} if one.get("sid") else one for one in before]
            await self._control("control", {"world": self._world, "do": do})
            if any(one["do"] == "await_gate" for one in do):
                await asyncio.sleep(0.01)  # what the waiting request has sent shall have been seen, at its time

    def _start(self, step: Json) -> Callable[[], Awaitable[Json]]:
        """Send the request at once; the function that is returned waits for the answer and looks at it."""
        app = step.get("app", "main")
        self._requests += 1
        number = str(self._requests)
        ops = [{**op, "sid": self._sid(op["sid"])} if op.get("sid") else op for op in step.get("ops", [])]
        headers: dict[str, Any] = {
            "X-Oracle-World": self._world,
            "X-Oracle-App": app,
            "X-Oracle-Step": number,
            "X-Oracle-Ops": json.dumps(ops, separators=(",", ":")).replace("\x7f", "\\u007f"),
            **step.get("headers", {}),
        }
        cookie = self._cookie_header(step, app)
        if cookie is not None:
            headers["Cookie"] = cookie
        method = step.get("method", "GET")
        if method in {"POST", "PUT", "PATCH"}:
            headers["Content-Length"] = "0"
        header_offset: list[int] = []
        sending = asyncio.create_task(
            self._client.request(
                method, step.get("path", "/"), headers, on_head=lambda: header_offset.append(self._offset)
            )
        )

        async def finish() -> Json:
            answer: Response | str
            try:
                answer = await sending
            except Cut:
                answer = "connection closed"
            except TimeoutError:
                answer = "timeout"
            if self._frozen_at is not None:  # there a handler's sleep moves the clock
                self._offset += sum(op["ms"] for op in ops if op["op"] == "sleep")
            report = await self._control("report", {"world": self._world, "step": number})
            return self._observed(step, app, method, answer, report, (header_offset or [self._offset])[0])

        return finish

    async def _idle(self, step: Json) -> Json:
        """A step without a request; with `look` the store is read and compared."""
        if not step.get("look"):
            return {"noop": True}
        report = await self._control("report", {"world": self._world, "step": "-"})
        return {"store": self._store_view(report["store"]), "count": len(report["store"])}

    # The request's cookie

    def _cookie_header(self, step: Json, app: str) -> str | None:
        jar = self._jars.get(step.get("jar", "A"), {})
        mode = step.get("cookie", "jar")
        if mode == "none":
            return None
        if mode == "jar":
            return "; ".join(pair for pair, _ in jar.values()) or None
        borrowed = step.get("cookie_app", app)
        name = self._cookie_name(borrowed)
        sid = ""
        if "sid" in mode:
            sid = mode["sid"]
        elif mode.get("sid_of"):
            sid = self._sid(mode["sid_of"], "")
        elif name in jar:
            sid = jar[name][1] or ""
        secrets = _secrets_of(self._apps[borrowed])
        sig = ""
        if "sign_with" in mode:
            sig = _mac(sid, mode["sign_with"])
        elif secrets:
            sig = _mac(sid, secrets[mode.get("sign_index", 0)])
        sid, sig = _tamper(mode.get("tamper"), sid, sig)
        decoded = f"s:{sid}.{sig}"
        encoded = _encode(decoded)
        parts = {
            "name": name,
            "value": encoded,
            "value2": _encode(encoded),
            "decoded": decoded,
            "lower": re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encoded),
            "all": "".join(f"%{byte:02x}" for byte in decoded.encode()),
            "sid": sid,
            "sig": sig,
            "sigenc": _encode(sig),
        }
        header: str = mode["raw"]
        for part, text in parts.items():
            header = header.replace("{" + part + "}", text)
        return header

    def _cookie_name(self, app: str) -> str:
        options = self._apps[app].get("options") or {}
        return options.get("name") or options.get("key") or "connect.sid"

    # What was observed

    def _observed(
        self, step: Json, app: str, method: str, answer: Response | str, report: Json, header_offset: int
    ) -> Json:
        seen: Json = {}
        cookies: list[str] = []
        now = self._clock()
        if isinstance(answer, str):
            seen["net_error"] = answer
        else:
            seen["status"] = answer.status
            if answer.aborted:
                seen["aborted"] = True
            seen["body"] = "" if method == "HEAD" else answer.body
            if 300 <= answer.status < 400 and any(op["op"] == "redirect" for op in step.get("ops", [])):
                seen["body"] = None
            for name in step.get("observe", []):
                if name != "order":
                    seen.setdefault("headers", {})[name] = _header(answer, name)
            cookies = answer.headers.get("set-cookie", [])
            if "date" in answer.headers and self._frozen_at is None:
                now = parse_date(answer.headers["date"][0]) or now
        now += header_offset
        sent_before = frozenset(self._sent)
        seen["ops"] = [self._op_view(result, now) for result in report.get("ops") or []]
        seen["set_cookie"] = [self._set_cookie_view(raw, app, step, now, sent_before) for raw in cookies]
        seen["calls"] = [f"{call['m']} {self._label(call['sid'])}" for call in report.get("calls") or []]
        seen["store"] = self._store_view(report["store"])
        seen["count"] = len(report["store"])
        if report.get("errors"):
            seen["errors"] = report["errors"]
        if report.get("finished") is False:
            seen["unfinished"] = True
        return seen

    def _clock(self) -> int:
        """The server's time before what has moved it since the start."""
        return int(time.time() * 1000) if self._frozen_at is None else self._frozen_at

    def _label(self, sid: object) -> str | None:
        if not isinstance(sid, str):
            return None
        return self._labels.setdefault(sid, f"s{len(self._labels) + 1}")

    def _sid(self, label: str, otherwise: str | None = None) -> str:
        """The id of a label; a text that is no label is taken as an id."""
        found = next((sid for sid, known in self._labels.items() if known == label), None)
        return found or (label if otherwise is None else otherwise)

    def _op_view(self, result: Any, now: int) -> Any:
        if not isinstance(result, dict):
            return result
        if "sid" in result:
            return {"sid": self._label(result["sid"])}
        if "stored" in result:
            stored = result["stored"]
            return {"stored": None if stored is None else _stored_view(stored, now)}
        value = result.get("v")
        if isinstance(value, dict) and "httpOnly" in value and "path" in value:
            return {"v": _cookie_view(value, now)}
        return result

    def _store_view(self, store: list[Json]) -> Json:
        now = self._clock() + self._offset
        known: dict[str, Json] = {}
        fresh: list[tuple[str, Json]] = []
        for row in store:
            try:
                session = json.loads(row["json"], parse_constant=_refuse)
                view = _stored_view(session, now)
                view["keys"] = _key_order(session)
                if isinstance(session.get("cookie"), dict):
                    view["cookie_keys"] = _key_order(session["cookie"])
            except (ValueError, TypeError, AttributeError):
                view = {"unparsable": str(row["json"])[:80]}
            if row["sid"] in self._labels:
                known[self._labels[row["sid"]]] = view
            else:
                fresh.append((row["sid"], view))
        # Ids that are new get their labels in the order of what they hold, so that the labels are the same in every run.
        for sid, view in sorted(fresh, key=lambda item: _by_content(item[1])):
            known[str(self._label(sid))] = view
        return known

    def _set_cookie_view(self, raw: str, app: str, step: Json, now: int, sent_before: frozenset[str]) -> Json:
        pair, *rest = raw.split(";")
        name, _, value = (part.strip() for part in pair.partition("="))
        attrs = [part.strip() for part in rest]
        attrs = [attr[:8] + relative_date(attr[8:], now) if attr[:8].lower() == "expires=" else attr for attr in attrs]
        view: Json = {"name": name, "attrs": attrs}
        if name != self._cookie_name(app):
            return {**view, "value": value}
        decoded = _decode(value)
        jar = self._jars.setdefault(step.get("jar", "A"), {})
        if not decoded.startswith("s:") or decoded.rfind(".") <= 1:
            jar[name] = (f"{name}={value}", None)
            return {**view, "signed": False, "value": value}
        sid, _, signature = decoded[2:].rpartition(".")
        signed_with = [_mac(sid, secret) == signature for secret in _secrets_of(self._apps[app])]
        view |= {
            "signed": True,
            "secret": signed_with.index(True) if True in signed_with else -1,
            "sid": self._label(sid),
            "new_sid": sid not in sent_before,
            "percent_encoded": value == _encode(decoded),
        }
        self._sent.add(sid)
        if isinstance((self._apps[app].get("options") or {}).get("genid"), dict):
            view["value"] = value  # the ids are known: the very bytes of the cookie are compared
        else:
            view["uid24"] = bool(_UID24.fullmatch(sid))
        jar[name] = (f"{name}={value}", sid)
        return view


def _by_content(view: Json) -> bytes:
    text = json.dumps(view, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-16-be", "surrogatepass")  # JavaScript compares strings by their UTF-16 units


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _header(answer: Response, name: str) -> str | None:
    values = answer.headers.get(name.lower())
    if not values:
        return None
    return values[0] if name.lower() in _FIRST_COUNTS else ", ".join(values)


def _cookie_view(cookie: Json, now: int) -> Json:
    view = dict(cookie)
    if "expires" in view:
        view["expires"] = relative_iso(view["expires"], now)
    if _is_number(view.get("maxAge")):
        view["maxAge"] = relative_ms(view["maxAge"], now)
    if _is_number(view.get("originalMaxAge")) and abs(view["originalMaxAge"]) > TWENTY_YEARS:
        view["originalMaxAge"] = relative_ms(view["originalMaxAge"], now)
    return view


def _stored_view(session: Json, now: int) -> Json:
    cookie = session.get("cookie")
    # `__proto__` is no key of its own in the objects of the recorder.
    data = {key: value for key, value in session.items() if key not in {"cookie", "__proto__"}}
    return {"cookie": _cookie_view(cookie, now) if isinstance(cookie, dict) else cookie, "data": data}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
