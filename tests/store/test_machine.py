"""Random courses of events, attempts, interventions, crashes and clocks, against the model of what comes of them."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from msgspec import structs

from hookd.egress import Guard
from hookd.errors import InvalidInput, NotFound
from hookd.model import Delivery, Endpoint, EndpointState, Handler, Origin, Outcome, Publication, Status
from hookd.units import format_duration
from hookd.web.call import Site
from hookd.web.definition import changed
from hookd.web.rotation import Rotation, rotated
from tests.nouns import ENDPOINT
from tests.store.comparison import Comparison, Write, refusal
from tests.store.model import BREAKER, Answer, Happened, Target, Tried
from tests.store.stand import DEDUPE, NOW, SCHEDULE, SECOND

DISABLE_AFTER = 200 * SECOND
SITE = Site(sources={}, triggers={}, tokens=(), max_body=10_000, guard=Guard(["127.0.0.1"]))
URLS = ("http://127.0.0.1/", "http://127.0.0.1/other")
HANDLERS = {
    handler.id: handler
    for handler in (Handler("invite", ("*",), "log:x"), Handler("watch", ("hookd.*", "shop.paid"), "log:x"))
}
ENDPOINTS = tuple(f"ep_{number}" for number in range(1, 8))
LANES = (*ENDPOINTS, *HANDLERS)

tenants = st.sampled_from([None, None, "a"])
endpoints = st.sampled_from(ENDPOINTS[:3])
configured = st.dictionaries(st.sampled_from(sorted(HANDLERS)), st.booleans()).map(
    lambda ordered: {name: replace(HANDLERS[name], ordered=ordered[name]) for name in ordered}
)
"""Which handlers there are, and whether they are ordered."""
outcomes = st.sampled_from([*3 * [Outcome.SUCCESS], *3 * [Outcome.TIMEOUT], Outcome.HTTP_5XX, Outcome.HTTP_4XX])
STATUSES = {Outcome.HTTP_4XX: 410, Outcome.HTTP_5XX: 503}
patterns = st.just(("*",)) | st.lists(
    st.sampled_from(["*", "order.*", "order.paid", "shop.*", "hookd.*", "hookd.endpoint.disabled"]),
    min_size=1,
    max_size=3,
    unique=True,
).map(tuple)
schedules = st.sampled_from([None, None, (), (9 * SECOND,)])
more = st.booleans()
"""Whether further writes come into the same commit."""


class Contract(Comparison):
    """Everything that can happen, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = list(ENDPOINTS)
        self.handlers: dict[str, Handler] = {}

    @initialize(handlers=configured, wanted=st.lists(st.tuples(patterns, st.booleans()), min_size=1, max_size=3))
    def begin(self, handlers: dict[str, Handler], wanted: list[tuple[tuple[str, ...], bool]]) -> None:
        self.stand.store.room = self.lanes
        self.configure(handlers)
        for name, (types, ordered) in zip(ENDPOINTS, wanted, strict=False):
            self._create(name, types, None, None, ordered=ordered, more=False)

    # Events.

    @rule(
        publication=st.builds(
            Publication,
            st.sampled_from(["order.paid", "order", "other"]),
            st.sampled_from([b"{}", b"{ }"]),
            tenants,
            st.none() | st.sampled_from(["id_1", "id_2"]),
            st.none() | st.sampled_from(["key_1", "key_2"]),
            st.none() | st.none() | st.lists(endpoints, min_size=1, max_size=3, unique=True).map(tuple),
            st.sampled_from(["", "", "a", "b"]),
        ),
        others=st.integers(0, 3),
        more=more,
    )
    def publish(self, publication: Publication, others: int, more: bool) -> None:
        """Publish an event, and some others that are like it, but for its keys."""
        for each in [publication] + others * [replace(publication, id=None, idempotency_key=None)]:
            self._publish(each)
        if not more:
            self.write_all()

    def _publish(self, publication: Publication) -> None:
        key = publication.ordering_key
        event = Happened(publication.id, publication.tenant, publication.type, Origin.PUBLISHED, key)
        keys = [
            (kind, publication.tenant or "", key)
            for kind, key in (("id", publication.id), ("key", publication.idempotency_key))
            if key is not None
        ]
        content = (publication.type, publication.payload, publication.endpoints, key)

        def compare(answer: Any) -> None:
            identity = publication.id or str(getattr(answer, "id", ""))
            expected = self.model.accept(event, identity, keys=keys, content=content, endpoints=publication.endpoints)
            if isinstance(expected, Answer):
                assert (answer.id, answer.deliveries, answer.repeated) == expected
                assert (answer.note is None) == (answer.deliveries > 0)
            else:
                assert refusal(answer) is expected

        self.writes.append(Write("accept", lambda: self.acceptor.publish(publication), compare))

    @rule(tenant=tenants, key=st.none() | st.sampled_from(["key_1", "key_2"]), more=more)
    def let_in(self, tenant: str | None, key: str | None, more: bool) -> None:
        """Accept an inbound event, once for each key."""
        event = Happened(None, tenant, "shop.paid", Origin.INBOUND)
        keys = [] if key is None else [("inbound", "shop", key)]

        def ask() -> Awaitable[Any]:
            return self.acceptor.admit(
                source="shop", tenant=tenant, event_type=event.type, key=key, body=b"x", content_type="text/plain"
            )

        def compare(answer: Any) -> None:
            expected = self.model.accept(event, answer.event, keys=keys)
            assert (answer.event, answer.deliveries, answer.repeated) == expected

        self.write(Write("accept", ask, compare), more)

    @precondition(lambda self: self.model.endpoints and not self.writes)
    @rule(data=st.data(), more=more)
    def send_test(self, data: st.DataObject, more: bool) -> None:
        """Begin a test, whose attempt ends like any other."""
        name = data.draw(st.sampled_from(sorted(self.model.endpoints)))
        endpoint = self.runner.run(self.stand.store.endpoint(name, None))

        def compare(delivery: Any) -> None:
            self.model.test(self.model.endpoints[name])
            self.direct[delivery.id] = delivery

        self.write(Write("accept", lambda: self.acceptor.test(endpoint), compare), more)

    # Attempts.

    @rule(lanes=st.just(LANES) | st.lists(st.sampled_from(LANES), min_size=1, unique=True), more=more)
    def claim(self, lanes: Sequence[str], more: bool) -> None:
        self.write(Write("claim", lambda: self.stand.store.claim(lanes), lanes=lanes), more)

    @precondition(lambda self: self.claimed or self.direct)
    @rule(
        data=st.data(),
        outcome=outcomes,
        retry_after=st.none() | st.integers(0, 20 * SECOND),
        more=more,
    )
    def end(self, data: st.DataObject, outcome: Outcome, retry_after: int | None, more: bool) -> None:
        """End some attempts."""
        in_flight = sorted(self.claimed | self.direct, key=self.names.index)
        for identity in data.draw(st.lists(st.sampled_from(in_flight), min_size=1, unique=True)):
            self._end(identity, outcome, retry_after)
        if not more:
            self.write_all()

    @rule(results=st.lists(outcomes, min_size=1, max_size=4), times=st.integers(1, 4))
    def work(self, results: list[Outcome], times: int) -> None:
        """Send all that waits, some times over, with these outcomes."""
        outcome = cycle(results)
        for _ in range(times):
            self.pass_time(None, upkeep=False)
            self.claim(LANES, more=False)
            for identity in sorted(self.claimed | self.direct, key=self.names.index):
                self._end(identity, next(outcome), None)
            self.write_all()

    def _end(self, identity: str, outcome: Outcome, retry_after: int | None) -> None:
        delivery = self.direct.get(identity) or self._withdraw(identity)
        direct = delivery.id in self.direct
        own = delivery.destination.retry if isinstance(delivery.destination, Endpoint) else None
        how: dict[str, Any] = {
            "outcome": outcome,
            "schedule": () if direct else SCHEDULE if own is None else own,
            "disable_after": DISABLE_AFTER,
            "status_code": STATUSES.get(outcome),
            "error": None if outcome is Outcome.SUCCESS else f"it was {outcome}",
            "retry_after": retry_after,
        }
        result = structs.replace(self.stand.result(delivery, **how), breaker=BREAKER)
        row = self.row(identity)
        self.writes.append(Write("record", lambda: self.stand.store.record(result), tried=Tried(row, **how)))
        if self.direct.pop(identity, None) and outcome is Outcome.SUCCESS:
            target = row.target
            self.writes.append(
                Write("hasten", lambda: self.stand.store.hasten(target), lambda _: self.model.hasten(target))
            )

    def _withdraw(self, identity: str) -> Delivery:
        """Free the place of a claimed delivery."""
        delivery = self.claimed.pop(identity)
        self.lanes.finish(delivery.destination.id)
        return delivery

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), more=more)
    def put_back(self, data: st.DataObject, more: bool) -> None:
        released = self._withdraw(data.draw(st.sampled_from(sorted(self.claimed, key=self.names.index))))
        row = self.row(released.id)
        self.given_back.append(row)

        def compare(_: None) -> None:
            self.model.release(row)
            self.given_back.remove(row)

        self.write(Write("release", lambda: self.stand.store.release([released]), compare), more)

    # What people do.

    @precondition(lambda self: self.names)
    @rule(data=st.data(), which=st.sampled_from(["retry", "cancel"]), as_stranger=st.booleans(), more=more)
    def intervene(self, data: st.DataObject, which: str, as_stranger: bool, more: bool) -> None:
        identity = data.draw(st.sampled_from(self.names))
        row = self.model.rows[self.names.index(identity)]
        tenant = "stranger" if as_stranger else row.event.tenant

        def ask() -> Awaitable[Any]:
            store = self.stand.store
            return store.retry(identity, tenant) if which == "retry" else store.cancel(identity, tenant)

        def compare(answer: Any) -> None:
            if as_stranger:
                assert refusal(answer) is NotFound
            else:
                assert refusal(answer) is (self.model.retry(row) if which == "retry" else self.model.cancel(row))

        self.write(Write(which, ask, compare), more)

    @precondition(lambda self: self.unused)
    @rule(wanted=patterns, tenant=tenants, schedule=schedules, ordered=st.booleans(), more=more)
    def create(
        self, wanted: tuple[str, ...], tenant: str | None, schedule: tuple[int, ...] | None, ordered: bool, more: bool
    ) -> None:
        self._create(self.unused[0], wanted, tenant, schedule, ordered=ordered, more=more)

    def _create(
        self,
        name: str,
        wanted: tuple[str, ...],
        tenant: str | None,
        schedule: tuple[int, ...] | None,
        *,
        ordered: bool,
        more: bool,
    ) -> None:
        self.unused.remove(name)
        endpoint = replace(
            ENDPOINT, id=name, event_types=wanted, tenant=tenant, retry=schedule, url=URLS[0], ordered=ordered
        )

        def compare(_: Any) -> None:
            self.model.endpoints[name] = Target(
                name, wanted, tenant, endpoint.url, schedule, (endpoint.secret,), ordered=ordered
            )

        self.write(Write("create", lambda: self.stand.store.create_endpoint(endpoint), compare), more)

    @rule(
        data=st.data(),
        patch=st.fixed_dictionaries(
            {},
            optional={
                "state": st.sampled_from(["paused", "paused", "disabled"]),
                "ordered": st.booleans(),
                "url": st.sampled_from(URLS),
                "event_types": patterns.map(list),
                "retry": schedules.map(lambda waits: None if waits is None else list(map(format_duration, waits))),
                "max_in_flight": st.sampled_from([None, 1, 5]),
                "metadata": st.just({"a": "b"}),
            },
        ),
        more=more,
    )
    def change(self, data: st.DataObject, patch: dict[str, Any], more: bool) -> None:
        self._change(self._name(data), patch, more=more)

    @rule(data=st.data(), ordered=st.booleans(), more=more)
    def set_order(self, data: st.DataObject, ordered: bool, more: bool) -> None:
        self._change(self._name(data), {"ordered": ordered}, more=more)

    @rule(data=st.data(), states=st.lists(st.sampled_from(EndpointState), min_size=1, max_size=2), more=more)
    def set_state(self, data: st.DataObject, states: list[EndpointState], more: bool) -> None:
        """Set the state of an endpoint, and perhaps another at once."""
        name = self._name(data)
        for state in states:
            self._change(name, {"state": state.value}, more=True)
        if not more:
            self.write_all()

    def _change(self, name: str, patch: dict[str, Any], *, more: bool) -> None:
        now = self.clock[0]

        def ask() -> Awaitable[Any]:
            return self.stand.store.change_endpoint(name, None, lambda it: changed(it, patch, SITE, now))

        def compare(answer: Any) -> None:
            target = self.model.endpoints.get(name)
            assert refusal(answer) is (NotFound if target is None else None)
            if target is not None:
                self._apply(target, patch, answer)

        self.write(Write("change", ask, compare), more)

    def _apply(self, target: Target, patch: dict[str, Any], after: Endpoint) -> None:
        target.patterns = tuple(patch.get("event_types", target.patterns))
        target.schedule = after.retry
        self.model.set_order(target, patch.get("ordered", target.ordered))
        if patch.get("url", target.url) != target.url:
            target.url = patch["url"]
            self.model.hasten(target.id)
        self.model.set_state(target, EndpointState(patch.get("state", target.state)))

    @rule(data=st.data(), overlap=st.sampled_from([None, 0, 60]), secret=st.integers(0, 9), more=more)
    def rotate(self, data: st.DataObject, overlap: int | None, secret: int, more: bool) -> None:
        name, now, fresh = self._name(data), self.clock[0], f"whsec_{secret:038d}A="
        rotation = Rotation.model_validate({"overlap": None if overlap is None else f"{overlap}s"})

        def ask() -> Awaitable[Any]:
            return self.stand.store.change_endpoint(name, None, lambda it: rotated(it, rotation, fresh, SITE, now))

        def compare(answer: Any) -> None:
            target = self.model.endpoints.get(name)
            same = target is not None and target.secrets[0] == fresh
            assert refusal(answer) is (NotFound if target is None else InvalidInput if same else None)
            if target is not None and not same:
                target.secrets = (fresh, *(target.secrets if overlap != 0 else ()))[:9]

        self.write(Write("change", ask, compare), more)

    @rule(data=st.data(), more=more)
    def delete(self, data: st.DataObject, more: bool) -> None:
        name = self._name(data)

        def compare(answer: Any) -> None:
            target = self.model.endpoints.get(name)
            assert refusal(answer) is (NotFound if target is None else None)
            if target is not None:
                self.model.delete(target)

        self.write(Write("delete", lambda: self.stand.store.delete_endpoint(name, None), compare), more)

    def _name(self, data: st.DataObject) -> str:
        """Draw an endpoint, which may be gone."""
        return data.draw(st.sampled_from([*sorted(self.model.endpoints), ENDPOINTS[-1]]))

    publish_often = publish_very_often = publish
    work_often = work
    end_often = end_very_often = end
    intervene_often = intervene
    set_state_often = set_state
    set_order_often = set_order
    """Each name of a rule is drawn as often as any other's."""

    # What happens to the daemon.

    @rule(handlers=configured)
    def configure(self, handlers: dict[str, Handler]) -> None:
        """Read a configuration that declares these handlers."""
        self.write_all()
        self.handlers = handlers
        gone = self.runner.run(self.stand.store.set_handlers(handlers))
        assert gone == self.model.set_handlers(handlers)
        self.look_and_compare()

    @rule(
        milliseconds=st.none() | st.integers(1, 400 * SECOND) | st.integers(-300 * SECOND, 0) | st.just(DEDUPE),
        upkeep=st.booleans(),
    )
    def pass_time(self, milliseconds: int | None, upkeep: bool) -> None:
        """Set the clock forward or back, or to when all that waits is due; forget what has expired."""
        self.write_all()
        waiting = [row.due_at for row in self.model.rows if row.status is Status.PENDING]
        waiting += [target.blocked_until for target in self.model.endpoints.values() if target.blocked_until]
        self.clock[0] = max(waiting, default=NOW) if milliseconds is None else self.clock[0] + milliseconds
        self.latest = max(self.latest, self.clock[0])
        if upkeep:
            self.runner.run(self.stand.store.expire_keys())
            self.model.expire()

    @rule(handlers=st.none() | configured, busy=st.booleans(), times=st.sampled_from([1, 1, 3]))
    def crash(self, handlers: dict[str, Handler] | None, busy: bool, times: int) -> None:
        """Drop the store with whatever is in flight or unwritten, and open it again."""
        for _ in range(times):
            if busy:
                self.claim(LANES, more=False)
            self._crash(handlers if handlers is not None else self.handlers)

    def _crash(self, handlers: dict[str, Handler]) -> None:
        self.writes.clear()
        self.handlers = handlers
        assert self.runner.run(self.reopen(handlers)) == self.model.crash(handlers)
        self.stand.store.room = self.lanes
        self.look_and_compare()


TestContract = Contract.TestCase
TestContract.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
