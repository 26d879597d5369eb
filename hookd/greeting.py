"""What the daemon says when it is up: what runs here, for whom, and how to try it."""

import logging
from pathlib import Path

from hookd.config import Settings
from hookd.units import counted
from hookd.version import VERSION

log = logging.getLogger("hookd")


def greet(settings: Settings, path: Path | None, address: str, endpoints: int) -> None:
    """Log it in a line or two; `path` is the configuration's, None where it is built in."""
    log.info(
        "hookd %s listens on %s; config %s; store %s; %s",
        VERSION,
        address,
        path or "built in",
        settings.store.place,
        _callers(settings),
    )
    if settings.server.inbound is not None:
        log.info("the sources alone are also at http://%s", settings.server.inbound)
    log.info(
        "%s, %s, %s, %s; try: %s",
        counted(len(settings.sources), "source"),
        counted(len(settings.triggers), "trigger"),
        counted(len(settings.handlers), "handler"),
        counted(endpoints, "endpoint"),
        _example(settings, address),
    )


def _callers(settings: Settings) -> str:
    if not settings.tokens:
        return "anyone on this machine may call it (no tokens)"
    return f"callers need a token ({len(settings.tokens)} known)"


def _example(settings: Settings, address: str) -> str:
    for trigger in settings.triggers:
        fields = ", ".join(f'"{name}": "…"' for name in trigger.required)
        bearer = '-H "Authorization: Bearer $HOOKD_TOKEN" ' if settings.tokens and trigger.authenticated else ""
        return f"curl {bearer}--json '{{{fields}}}' {address}{trigger.path}"
    return f"curl {address}/readyz"
