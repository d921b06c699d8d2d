"""Addresses of servers: checked, and shown without credentials."""

from __future__ import annotations

from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from invokeai_gen.server.constants import DEFAULT_URL
from invokeai_gen.server.credentials import Secret
from invokeai_gen.server.errors import InvalidUrlError


def clean_url(url: str) -> str:
    """Return a server's address without trailing slash; user name and password stay in it.

    Raises `InvalidUrlError` for anything but `http(s)://[user:password@]host[:port][/path]`.
    """
    parts = _split(url.strip())
    if parts is None:
        # Outside any `except` block: the error that urllib raises repeats parts of the address, passwords included.
        raise InvalidUrlError(f"{public_url(url)!r} is not the address of a server, such as {DEFAULT_URL!r}")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        host = parts.hostname or ""
        if not host.isascii() or len(host) > 63 or host.startswith(".") or ".." in host:
            host.encode("idna")  # refuses impossible names; its tables take a while to load
    except ValueError:  # a port that is not a number or too large, a malformed IPv6 address, an impossible host name
        return None
    has_more = "?" in url or "#" in url
    return parts if is_address and not has_more and url.isprintable() and " " not in url else None


def public_url(url: str) -> str:
    """Return an address, valid or not, as it may be shown: without user name, password, query and fragment."""
    scheme, separator, rest = url.strip().rpartition("://")
    host = rest.rpartition("@")[2] if "@" in rest else rest
    shown = host.partition("?")[0].partition("#")[0]
    is_scheme = scheme.isalnum() and len(scheme) <= 10
    return f"{scheme}{separator}{shown}" if is_scheme else shown


def basic_authorization(url: str) -> Secret | None:
    """Return the header value for user name and password in a valid address; `None` for an address without them."""
    parts = urlsplit(url)
    if not parts.username:
        return None
    from base64 import b64encode

    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Secret(f"Basic {b64encode(pair.encode()).decode()}")


def environment_proxy(url: str) -> Secret | None:
    """Return the proxy that the environment (or the system's settings) names for an address, if any."""
    from urllib.request import getproxies, proxy_bypass

    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return Secret(proxy if "://" in proxy else f"http://{proxy}")


def segment(name: str) -> str:
    """Return a name as one segment of a URL path, with any special characters quoted."""
    return quote(name, safe="", errors="replace") if name.strip(".") else name.replace(".", "%2E")
