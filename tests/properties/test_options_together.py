"""What browsers refuse in combination, or what promises more than it keeps, is refused at the start."""

from typing import Any

import pytest

from sessions import OptionsError, SessionOptions


def read(**options: Any) -> SessionOptions:
    """Options in express-session's spelling, with a secret."""
    return SessionOptions.from_mapping({"secret": "cat", **options})


@pytest.mark.parametrize("word", ["none", "None", "NONE"])
@pytest.mark.parametrize("secure", [{}, {"secure": False}, {"secure": None}])
def test_same_site_none_needs_secure(word: str, secure: dict[str, Any]) -> None:
    """Browsers drop a cookie with SameSite=None that is not Secure."""
    with pytest.raises(OptionsError, match=r'^cookie\.sameSite: "none" needs cookie\.secure = true'):
        read(cookie={"sameSite": word, **secure})


@pytest.mark.parametrize("secure", [{}, {"secure": False}, {"secure": None}])
def test_partitioned_needs_secure(secure: dict[str, Any]) -> None:
    """Browsers drop a partitioned cookie that is not Secure."""
    with pytest.raises(OptionsError, match=r"^cookie\.partitioned: needs cookie\.secure = true"):
        read(cookie={"partitioned": True, **secure})


@pytest.mark.parametrize("name", ["__Secure-a", "__secure-a", "__HOST-a", "__host-a", "__Http-a", "__Host-Http-a"])
@pytest.mark.parametrize("secure", [{}, {"secure": False}, {"secure": "auto"}])
def test_a_prefixed_name_needs_secure(name: str, secure: dict[str, Any]) -> None:
    """The prefix promises it, in whatever letter case a browser compares it; "auto" promises nothing."""
    with pytest.raises(OptionsError, match=f"^name: '{name}' needs cookie.secure = true"):
        read(name=name, cookie=secure)


@pytest.mark.parametrize("name", ["__Http-a", "__http-a", "__Host-Http-a", "__HOST-HTTP-a"])
@pytest.mark.parametrize("http_only", [False, None])
def test_an_http_prefix_needs_http_only(name: str, http_only: object) -> None:
    """The prefix says that no script has set it."""
    with pytest.raises(OptionsError, match=f"^name: '{name}' needs cookie.httpOnly = true"):
        read(name=name, cookie={"secure": True, "httpOnly": http_only})


@pytest.mark.parametrize("name", ["__Host-a", "__host-a", "__hOST-Http-a"])
@pytest.mark.parametrize("cookie", [{"path": "/app"}, {"path": None}, {"path": ""}, {"domain": "example.com"}])
def test_a_host_prefix_needs_the_root_path_and_no_domain(name: str, cookie: dict[str, Any]) -> None:
    """The prefix says that this very host has set it, for the whole host."""
    with pytest.raises(OptionsError, match=f"""^name: '{name}' needs cookie.path = "/" and no cookie.domain"""):
        read(name=name, cookie={"secure": True, **cookie})


@pytest.mark.parametrize("proxy", [{}, {"proxy": False}, {"proxy": None}])
def test_proxy_secure_needs_proxy(proxy: dict[str, Any]) -> None:
    """Without a proxy that is trusted, any client could claim TLS."""
    with pytest.raises(OptionsError, match=r"^proxySecure: needs proxy = true"):
        read(proxySecure=True, **proxy)


@pytest.mark.parametrize(
    ("name", "cookie"),
    [
        ("sid", {"sameSite": "none", "secure": True}),
        ("sid", {"sameSite": "none", "secure": "auto"}),
        ("sid", {"sameSite": "auto"}),
        ("sid", {"partitioned": True, "secure": True}),
        ("__Secure-a", {"secure": True, "domain": "example.com", "path": "/app", "httpOnly": False}),
        ("__Http-a", {"secure": True, "domain": "example.com"}),
        ("__Host-a", {"secure": True, "httpOnly": False}),
        ("__Host-a", {"secure": True, "domain": ""}),
        ("__Host-Http-a", {"secure": True}),
        ("x__Host-a", {"path": "/app"}),
    ],
)
def test_what_browsers_accept_is_accepted(name: str, cookie: dict[str, Any]) -> None:
    """Each of the rules above lets through what keeps it."""
    assert read(name=name, cookie=cookie).name == name
