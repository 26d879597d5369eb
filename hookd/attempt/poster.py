"""The poster: makes attempts, through one session."""

import logging
from collections.abc import Mapping
from time import perf_counter

from aiohttp import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from hookd.attempt.answer import judge, read_body
from hookd.attempt.deadline import Deadlines
from hookd.attempt.failure import explain
from hookd.attempt.format import FORMATS, SOURCE
from hookd.attempt.headers import Request, Unsigned, compose
from hookd.attempt.result import Result
from hookd.egress import Answer, Session
from hookd.errors import BlockedAddress
from hookd.ids import IdFactory
from hookd.model import Attempt, Clock, Delivery, Endpoint, Outcome
from hookd.signing import SCHEMES, Scheme
from hookd.text import one_line

logger = logging.getLogger("hookd.attempt")


class Poster:
    """Makes attempts at endpoints through one session; whatever goes wrong is an outcome, never an exception.

    `timeout` is in milliseconds, for endpoints that set none; `response_kept` is in bytes; `source` is that of
    CloudEvents; `schemes` are those that endpoints may have.
    """

    def __init__(
        self,
        session: Session,
        *,
        timeout: int,
        response_kept: int,
        clock: Clock,
        ids: IdFactory,
        source: str = SOURCE,
        schemes: Mapping[str, Scheme] = SCHEMES,
    ) -> None:
        self._session = session
        self._timeout = timeout
        self._response_kept = response_kept
        self._clock = clock
        self._ids = ids
        self._source = source
        self._schemes = schemes
        self._deadlines = Deadlines()

    async def attempt(self, delivery: Delivery) -> Attempt:
        """Send a delivery's event to its endpoint, once. Only cancellation is raised."""
        endpoint = delivery.destination
        if not isinstance(endpoint, Endpoint):
            raise TypeError(f"expected a delivery to an endpoint, got one to {endpoint.id}")
        started_at, start = self._clock(), perf_counter()
        request: Request | None = None
        try:
            headers, body = FORMATS[endpoint.format](delivery.event, self._source)
            request = compose(delivery, endpoint, headers, body, self._schemes, started_at)
            result = await self._exchange(endpoint, request)
        except Unsigned as error:
            result = Result(Outcome.PROTOCOL, one_line(f"protocol: {error}"))
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
            request_headers=request.recorded() if request is not None else {},
            response_headers=result.headers,
            response_body=result.body,
            truncated=result.truncated,
            retry_after=result.retry_after,
        )

    async def _exchange(self, endpoint: Endpoint, request: Request) -> Result:
        """POST, and read the answer; one timeout covers it all, but the headers' arrival decides."""
        timeout = self._timeout if endpoint.timeout is None else endpoint.timeout
        answer: Answer | None = None
        body = bytearray()
        complete = False
        try:
            with self._deadlines.within(timeout / 1000):
                answer = await self._session.post(request.url, request.headers, request.body)
                complete = await read_body(answer.content, body) and answer.whole
        except (ClientError, HttpProcessingError, OSError, BlockedAddress) as error:
            if answer is None:
                return explain(error, endpoint.url, timeout)
        finally:
            if answer is not None:
                answer.end()
        return judge(answer, bytes(body), complete, self._response_kept, self._clock, request.secrets())
