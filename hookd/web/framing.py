"""Requests that two parties could read in two ways, as those write them who smuggle one past a proxy.

What no parser can read is refused by aiohttp's own. What is left is HTTP, but not as a proxy in front of hookd might
take it.
"""

import re
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion10, HttpVersion11

_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)


def ambiguity(request: web.BaseRequest) -> str | None:
    """Say what in a request could be read otherwise; None where nothing can (RFC 9112 sections 2.3, 3.2 and 6.1)."""
    if request.version not in (HttpVersion11, HttpVersion10):
        return "expected HTTP/1.1"
    coding = request.headers.get(hdrs.TRANSFER_ENCODING)
    if coding is not None and (coding.lower() != "chunked" or request.version == HttpVersion10):
        return "expected no Transfer-Encoding but chunked, and that in HTTP/1.1 alone"
    if request.method == hdrs.METH_CONNECT:
        return "hookd is no proxy"
    target = request.raw_path
    if "#" in target or not (target.startswith("/") or target == "*" or _names_the_host(target, request)):
        return "expected a target that is a path, or http:// with the same host as the header Host"
    return None


def _names_the_host(target: str, request: web.BaseRequest) -> bool:
    """Say whether a target in absolute form is at the host that the request names otherwise."""
    found = _ABSOLUTE.match(target)
    return found is not None and found[1].lower() == request.headers.get(hdrs.HOST, "").lower()


def expects_too_much(request: web.BaseRequest) -> bool:
    """Say whether a caller expects anything but to be told to go on (RFC 9110 section 10.1.1)."""
    expected = request.headers.get(hdrs.EXPECT, "").lower()
    return expected not in ("", "100-continue") and request.version == HttpVersion11


def may_go_on(request: web.BaseRequest) -> bool:
    """Say whether what follows a request is HTTP/1.1 again: who asks for another protocol may already speak it."""
    return hdrs.UPGRADE not in request.headers
