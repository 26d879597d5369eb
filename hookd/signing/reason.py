"""The reasons for which a request is refused: stable codes, for the operator's eyes only."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a request is not authentic: the `reason` of a SignatureError."""

    NO_SECRET = "no_secret"  # noqa: S105 - a code, no secret
    MISSING_HEADER = "missing_header"
    REPEATED_HEADER = "repeated_header"
    MALFORMED_HEADER = "malformed_header"
    MISSING_TIMESTAMP = "missing_timestamp"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_TOO_NEW = "timestamp_too_new"
    SIGNATURE_MISMATCH = "signature_mismatch"
