"""`log:`: a line in the daemon's log."""

import json
import logging
import re
from typing import Any, Final

from hookd.handlers.message import Message
from hookd.text import printable

LONGEST_VALUE: Final = 200
"""Characters of a field's value in a log line at most."""

logger = logging.getLogger("hookd.handler")


class Line:
    """A log line with `{field}` or `{field.field}` of the payload in it."""

    _FIELD: Final = re.compile(r"\{([\w-]+(?:\.[\w-]+)*)\}")

    def __init__(self, template: str) -> None:
        if not template or set("{}") & set(self._FIELD.sub("", template)):
            raise ValueError(f'expected a template such as "log:Invite sent to {{name}}", got "log:{template}"')
        self._template = template

    async def __call__(self, message: Message) -> None:
        """Write the line; a field that the payload lacks stays as it is in the template."""
        try:
            payload = message.json()
        except ValueError:
            payload = None  # not JSON: it has no fields
        logger.info("%s", self._FIELD.sub(lambda field: _value(payload, field), self._template))


def _value(payload: Any, field: re.Match[str]) -> str:
    for name in field[1].split("."):
        if not isinstance(payload, dict) or name not in payload:
            return field[0]
        payload = payload[name]
    text = payload if isinstance(payload, str) else _written(payload)
    return printable(text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…")


def _written(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:  # it is read a few levels deeper than it is written
        return "…"
