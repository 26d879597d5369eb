"""The poster: makes attempts, through one session."""

import io
import logging
from functools import lru_cache
from time import perf_counter
from typing import Final

import aiohttp
from yarl import URL

from hookd.attempt.answer import judge, read_body
from hookd.attempt.deadline import Deadlines
from hookd.attempt.failure import explain
from hookd.attempt.headers import compose, masked
from hookd.attempt.result import Result
from hookd.errors import BlockedAddress
from hookd.ids import IdFactory
from hookd.model import Attempt, Clock, Delivery, Endpoint, Outcome
from hookd.text import one_line

LARGE: Final = 1 << 20
"""Bytes of a payload beyond which it is written piece by piece, so that the event loop turns in between."""

logger = logging.getLogger("hookd.attempt")


class Poster:
    """Makes attempts at endpoints through one session; whatever goes wrong is an outcome, never an exception.

    `timeout` is in milliseconds, for endpoints that set none; `response_kept` is in bytes.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        timeout: int,
        response_kept: int,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._session = session
        self._timeout = timeout
        self._response_kept = response_kept
        self._clock = clock
        self._ids = ids
        self._deadlines = Deadlines()

    async def attempt(self, delivery: Delivery) -> Attempt:
        """Send a delivery's event to its endpoint, once. Only cancellation is raised."""
        endpoint = delivery.destination
        if not isinstance(endpoint, Endpoint):
            raise TypeError(f"expected a delivery to an endpoint, got one to {endpoint.id}")
        started_at, start = self._clock(), perf_counter()
        headers: dict[str, str] = {}
        try:
            headers = compose(delivery, endpoint, started_at)
            result = await self._exchange(endpoint, delivery.event.payload, headers)
        except Exception as error:
            logger.exception("the attempt at %s broke, delivery %s", endpoint.id, delivery.id)
            result = Result(Outcome.PROTOCOL, one_line(f"protocol: {type(error).__name__}: {error}"))
        return Attempt(
            id=self._ids("att"),
            number=delivery.attempt_count + 1,
            started_at=started_at,
            duration=(perf_counter() - start) * 1000,
            outcome=result.outcome,
            status_code=result.status_code,
            error=result.error,
            request_headers=masked(headers, endpoint),
            response_headers=result.headers,
            response_body=result.body,
            truncated=result.truncated,
            retry_after=result.retry_after,
        )

    async def _exchange(self, endpoint: Endpoint, payload: bytes, headers: dict[str, str]) -> Result:
        """POST, and read the answer; one timeout covers it all, but the headers' arrival decides."""
        url = _parse(endpoint.url)
        timeout = self._timeout if endpoint.timeout is None else endpoint.timeout
        response: aiohttp.ClientResponse | None = None
        body = bytearray()
        complete = False
        try:
            with self._deadlines.within(timeout / 1000):
                data = payload if len(payload) <= LARGE else io.BytesIO(payload)
                response = await self._session.post(url, data=data, headers=headers, allow_redirects=False)
                complete = await read_body(response.content, body)
        except (aiohttp.ClientError, OSError, BlockedAddress) as error:
            if response is None:
                return explain(error, url, timeout)
        finally:
            if response is not None and not response.closed:
                response.close()  # and its connection: what was not read would be taken for the next answer
        return judge(response, bytes(body), complete, self._response_kept, self._clock)


@lru_cache(maxsize=4096)
def _parse(url: str) -> URL:
    return URL(url)
