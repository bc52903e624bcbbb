"""Our reading of a Cookie header against that of npm's package cookie, which express-session asks."""

from hypothesis import given
from hypothesis import strategies as st

from sessions.formats.cookie_header import decoded, values

from .conftest import Node

NAMES = st.sampled_from(["sid", "connect.sid", "__Host-sid"])
PIECES = st.sampled_from(
    [
        "sid", "connect.sid", "__Host-sid", "SID", "sidx", "=", "==", ";", "; ", " ", "\t", '"', '""', "%", "%3A", "%3a",
        "%C3%A9", "%C3", "%ED%A0%80", "%00", "%zz", "s%3Aa.b%2Bc", "s:a.b", "a", "é", "\x00", "\x0b", "\xa0", ",", "\\",
    ]
)  # fmt: skip
HEADERS = st.lists(PIECES, max_size=14).map("".join) | st.text("".join(map(chr, range(256))), max_size=40)


@given(header=HEADERS, name=NAMES)
def test_a_header_is_read_as_npms_cookie_reads_it(node: Node, header: str, name: str) -> None:
    """The first value of a name, or that there is none. Ours gives the further ones too."""
    theirs = node.ask("cookie", header=header, name=name)

    assert next(map(decoded, values([header], name)), None) == theirs
