"""How often attempts may be begun: a bucket of tokens that fills steadily, of which each attempt takes one."""

from msgspec import Struct

from hookd.model import RateLimit

SPREAD = 0.02
"""Seconds by which attempts may bunch up on their way to the receiver.

The bucket holds as much less than the burst, so that the receiver, too, sees no more than the limit in any window.
"""


class Bucket(Struct, frozen=True):
    """The tokens that were there at a moment, in seconds of a monotonic clock; in debt below nought."""

    tokens: float
    at: float


def capacity(limit: RateLimit) -> float:
    """Answer how many tokens a bucket holds."""
    return max(1.0, limit.burst - SPREAD * limit.per_second)


def full(limit: RateLimit, now: float) -> Bucket:
    """Answer a bucket of which nothing was taken for long."""
    return Bucket(capacity(limit), now)


def tokens(bucket: Bucket, limit: RateLimit, now: float) -> float:
    """Answer how many tokens are there now."""
    return min(capacity(limit), bucket.tokens + max(0.0, now - bucket.at) * limit.per_second)


def taken(bucket: Bucket, limit: RateLimit, now: float) -> Bucket:
    """Answer the bucket after one token was taken; where none was there, it is owed."""
    return Bucket(tokens(bucket, limit, now) - 1, now)


def seconds_until(bucket: Bucket, limit: RateLimit, wanted: int, now: float) -> float:
    """Answer how long it takes until so many tokens are there; nought where they are."""
    return max(0.0, (wanted - tokens(bucket, limit, now)) / limit.per_second)
