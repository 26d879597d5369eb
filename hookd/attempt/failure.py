"""How an attempt failed that brought no answer, in words for an operator."""

import errno
import os
import ssl
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from hookd.attempt.result import Result
from hookd.errors import BlockedAddress
from hookd.model import Outcome
from hookd.text import one_line

_REFUSALS: Final = {
    errno.ECONNREFUSED: "refused the connection",
    errno.ECONNRESET: "reset the connection",
    errno.EPIPE: "reset the connection",
    errno.EHOSTUNREACH: "can't be reached",
    errno.ENETUNREACH: "can't be reached",
    errno.ETIMEDOUT: "did not answer",
}


def explain(error: Exception, url: str, timeout: int) -> Result:
    """Say how an exchange ended that brought no answer; never with the URL's path, which may be secret."""
    parsed = URL(url)
    host = parsed.host_subcomponent or ""
    where = f"{host}:{parsed.port}"
    match error:
        case BlockedAddress():
            outcome, text = Outcome.BLOCKED, _blocked(error, host)
        case aiohttp.ClientConnectorDNSError():
            outcome, text = Outcome.DNS, f"{host} does not resolve ({error.os_error.strerror})"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            outcome, text = Outcome.TLS, f"{host}: {_distrust(error)}"
        case aiohttp.ClientProxyConnectionError():
            outcome, text = Outcome.CONNECT, f"the proxy {_refusal(error)}"
        case aiohttp.ClientHttpProxyError():
            outcome, text = Outcome.CONNECT, f"the proxy answered {error.status} for {where}"
        case aiohttp.ClientConnectorError(os_error=ConnectionResetError()) if parsed.scheme == "https":
            outcome, text = Outcome.TLS, f"{host}: it ended the connection amid the handshake"
        case aiohttp.ClientConnectorError():
            outcome, text = Outcome.CONNECT, f"{where} {_refusal(error)}"
        case TimeoutError():
            outcome, text = Outcome.TIMEOUT, f"no answer from {where} within {timeout / 1000:g} s"
        case _:
            outcome, text = Outcome.PROTOCOL, f"{where} {_breach(error)}"
    return Result(outcome, one_line(f"{outcome}: {text}"))


def _blocked(error: BlockedAddress, host: str) -> str:
    text = str(error)
    return text if text.startswith(host.strip("[]") + " ") else f"{host} → {text}"


def _refusal(error: OSError) -> str:
    """Say what happened to a connection; an error's own text may hold the whole URL."""
    number = error.errno
    if number is None or number < 0:
        return "broke the connection"
    return _REFUSALS.get(number) or f"broke the connection: {os.strerror(number)}"


def _distrust(error: aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError) -> str:
    """Say why TLS did not come about."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return cause.reason.replace("_", " ").lower()
    return "the handshake failed"


def _breach(error: Exception) -> str:
    """Say how an endpoint failed to speak HTTP; an end of the connection amid its headers is one way."""
    match error:
        case aiohttp.ServerDisconnectedError():
            return "closed the connection without an answer"
        case OSError():
            return _refusal(error)
        case HttpProcessingError():
            return f"did not answer in HTTP: {error.message}"
    return f"could not be asked: {type(error).__name__}"
