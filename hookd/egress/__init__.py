"""Which addresses may be dialled, and the HTTP session that dials no other.

Everything that is not public is refused unless `[network] allow` names it. The guard judges the addresses
that are really dialled, after DNS: a literal, a name, and a name that changes its mind meet the same check.
"""

from hookd.egress.guard import Guard, check_url, literal
from hookd.egress.session import Answer, Session, open_session

__all__ = ["Answer", "Guard", "Session", "check_url", "literal", "open_session"]
