"""What Tornado's log quotes of a request is taken out, whatever Tornado is installed; its words and an application's stay."""

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tornado
from tornado.httputil import HTTPInputError

HIDDEN = "a-value-that-nobody-may-read"
HIDDEN_FORMS = (HIDDEN, f"'{HIDDEN}'", f": {HIDDEN}", f"{HIDDEN} it's \"so\": b'{HIDDEN}'", f"\n{HIDDEN}")

log = logging.getLogger("tornado.general")


def messages(kind: str) -> Iterator[tuple[str, str]]:
    """The messages with which Tornado's own sources raise an error, with a hidden value in them, and their places."""
    for path in sorted(Path(tornado.__file__).parent.glob("*.py")):
        source = path.read_text("utf-8")
        if path.name.endswith("client.py") or f"{kind}(" not in source:  # to parse takes a while, in every process
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == kind:
                place = f"{path.name}:{node.lineno}"
                *_, message = [None, *node.args]
                match message:
                    case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod()) if "%d" not in text:
                        for value in HIDDEN_FORMS:
                            yield place, text % ((value,) * text.count("%"))
                    case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
                        for value in HIDDEN_FORMS:
                            yield place, text.format("a field", value)


MALFORMED = list(messages("HTTPInputError"))
ANSWERED = list(messages("HTTPError"))


def test_tornados_sources_are_read() -> None:
    """What the tests below rest on."""
    texts = [text for _, text in MALFORMED]

    assert f"Unsupported Transfer-Encoding {HIDDEN}" in texts
    assert f"Only integer Content-Length is allowed: {HIDDEN}" in texts
    assert any(text.startswith("Invalid Host header: ") for text in texts)
    assert any(text.startswith("Invalid unicode in a field: ") for _, text in ANSWERED)


@pytest.mark.parametrize(("place", "text"), MALFORMED)
def test_a_malformed_message_is_logged_without_its_values(
    caplog: pytest.LogCaptureFixture, place: str, text: str
) -> None:
    """As http1connection.py logs it: headers and bodies."""
    with caplog.at_level(logging.INFO):
        log.info("Malformed HTTP message from %s: %s", "127.0.0.1", HTTPInputError(text))

    (said,) = caplog.messages
    assert HIDDEN not in said, place
    assert said.removeprefix("Malformed HTTP message from 127.0.0.1: ")[:10] == text[:10]


@pytest.mark.parametrize(
    ("place", "text"),
    [
        *ANSWERED,
        ("cross-origin", f"Origin '{HIDDEN}' not allowed"),
        ("cross-origin", f"Sec-Fetch-Site {HIDDEN} & origin '{HIDDEN}' not allowed"),
    ],
)
def test_an_error_of_tornados_is_logged_without_its_values(
    caplog: pytest.LogCaptureFixture, place: str, text: str
) -> None:
    """As web.py logs it: forms that are not UTF-8, bodies, and where a request comes from."""
    log.warning("%d %s: %s", 400, "POST /set (127.0.0.1)", text)

    assert HIDDEN not in caplog.text, place
    assert "400 POST /set (127.0.0.1): " in caplog.text


@pytest.mark.parametrize("text", ["the lamp 'x' is off", "Invalid body", "Original: allowed", "no: 'yes'"])
def test_an_applications_own_message_is_logged_whole(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """What it says of its visitors is its own to decide."""
    log.warning("%d %s: %s", 400, "GET / (127.0.0.1)", text)

    assert caplog.messages == [f"400 GET / (127.0.0.1): {text}"]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("Invalid cookie signature %r", HIDDEN),
        ("Expired cookie %r", HIDDEN),
        ("Cookie timestamp in future; possible tampering %r", HIDDEN),
        ("Tampered cookie %r", HIDDEN.encode()),
    ],
)
def test_a_signed_cookie_of_tornados_is_not_logged(caplog: pytest.LogCaptureFixture, words: str, value: Any) -> None:
    """As web.py logs one that it refuses."""
    log.warning(words, value)

    assert caplog.messages == [words % "…"]


def test_a_line_for_debugging_has_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """The error of a token, or of a WebSocket's header, quotes it."""
    with caplog.at_level(logging.DEBUG):
        log.debug("Uncaught exception in _decode_xsrf_token", exc_info=ValueError(HIDDEN))

    assert HIDDEN not in caplog.text
    assert "Uncaught exception in _decode_xsrf_token" in caplog.text


def test_other_records_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Without arguments, with a mapping, with errors of the system, and with an object as the words."""
    log.warning("without")
    log.warning("a %(word)s", {"word": "mapping"})
    log.warning("Write error on %s: %s", 5, OSError(32, "Broken pipe: x"))
    log.warning(ValueError("an object %r"), "of its own")

    assert caplog.messages == [
        "without",
        "a mapping",
        "Write error on 5: [Errno 32] Broken pipe: x",
        "an object 'of its own'",
    ]
