"""What is SQLite's own: owning and opening the file, and that no statement reads a whole table."""

import random
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hookd.errors import StartError, Unavailable
from hookd.ids import IdFactory
from hookd.model import Breaker, Endpoint, Status
from hookd.store import DeliveryFilter, Page, deliveries, endpoints, events, open_store, rejections, upkeep
from hookd.store.rows import endpoint_row
from hookd.store.sqlite import FileLock, _expand, _joined, _step, connect, migrations, owner_mark, schema
from hookd.store.statement import Query, Steps, statements
from hookd.store.vault import PLAIN
from tests.nouns import ENDPOINT
from tests.store.stand import Open, Stand, file_of, sqlite, stand_on


@pytest.fixture
def open_in() -> Open:
    """What is said here is said of files."""
    return sqlite


FILES = (
    *("accept", "claim", "deliveries", "endpoints", "events", "order"),
    *("prune", "published", "record", "rejections", "replay"),
)
FRAGMENTS = {
    ("claim", "oldest_of_lane"),
    ("deliveries", "columns"),
    ("endpoints", "page"),
    ("events", "page_columns"),
    ("rejections", "page_columns"),
}
"""Not whole statements: what is made of them is below, in `generated`."""

IN_ORDER = re.compile(r"SCAN \w+$")
"""A list without a filter goes along its sequence, and stops at the page's limit."""

IN_MEMORY = ("json_each", "CONSTANT ROW", "wanted", "new", "lane", "(subquery", "VALUES", "column1")


@pytest.fixture
async def connection(tmp_path: Path) -> Any:
    opened = await connect(tmp_path / "hookd.db")
    yield opened
    await opened.close()


def plan(raw: sqlite3.Connection, query: Query) -> list[str]:
    """Answer the steps of a statement's plan."""
    if ":parts" in query.sql:
        sql = _joined(query.sql, statements("claim").oldest_of_lane, 2)
        return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", ("a", 1, "b", 1))]
    columns = max((int(number) for number in re.findall(r"column(\d+)", query.sql)), default=0)
    sql = _expand(query.sql, columns, 2)
    parameters: Any = (None,) * (2 * columns) if columns else defaultdict(lambda: None, query.parameters)
    return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def scans(steps: list[str]) -> list[str]:
    """Pick the steps that read a whole table or index."""
    return [step for step in steps if step.startswith("SCAN") and not any(word in step for word in IN_MEMORY)]


def written() -> Iterator[tuple[str, str]]:
    for file in FILES:
        yield from ((file, name) for name, _ in statements(file) if (file, name) not in FRAGMENTS)


@pytest.mark.parametrize(("file", "name"), list(written()))
async def test_no_statement_reads_a_whole_table(connection: Any, file: str, name: str) -> None:
    if (file, name) in (("endpoints", "count_by_state"), ("endpoints", "key_ids")):
        return  # they go through all endpoints, along an index
    steps = await connection.run(plan, Query(getattr(statements(file), name), {}))
    assert scans(steps) == []


def first(steps: Steps[Any]) -> Query:
    """Answer the first statement of a transaction."""
    query = next(steps)
    assert isinstance(query, Query)
    return query


CONDITIONS: list[tuple[dict[str, Any], str]] = [
    *(({"status": status}, "outbox_open") for status in Status if status is not Status.DELIVERED),
    ({"endpoint": "ep_1"}, "outbox_endpoint"),
    ({"event": "evt_1"}, "outbox_event"),
    ({"type": "a"}, "outbox_type"),
    ({"tenant": "t"}, "outbox_tenant"),
]


@pytest.mark.parametrize("page", [Page(50), Page(50, before=9), Page(50, after=9)])
@pytest.mark.parametrize(("wanted", "index"), CONDITIONS)
async def test_a_filtered_list_goes_along_an_index(
    connection: Any, wanted: dict[str, Any], index: str, page: Page
) -> None:
    steps = await connection.run(plan, deliveries.page_query(DeliveryFilter(**wanted), page, 5))
    assert any(index in step for step in steps), steps
    assert scans(steps) == []


@pytest.mark.parametrize("wanted", [{}, {"since": 5}, {"until": 5}, {"status": Status.DELIVERED}])
async def test_other_lists_go_along_the_sequence_and_sort_nothing(connection: Any, wanted: dict[str, Any]) -> None:
    for page in (Page(50), Page(50, before=9), Page(50, after=9)):
        steps = await connection.run(plan, deliveries.page_query(DeliveryFilter(**wanted), page, 5))
        assert scans(steps) == []
        assert not [step for step in steps if "TEMP B-TREE" in step], steps


@pytest.mark.parametrize("tenant", [None, "t"])
async def test_lists_of_events_and_endpoints(connection: Any, tenant: str | None) -> None:
    for query in (first(events.events(tenant, Page(50))), first(endpoints.endpoints(tenant, Page(50), PLAIN))):
        steps = await connection.run(plan, query)
        assert scans(steps) == []
        assert not [step for step in steps if "TEMP B-TREE" in step], steps
        assert tenant is None or any("_tenant" in step for step in steps), steps


@pytest.mark.parametrize("source", [None, "shop"])
@pytest.mark.parametrize("tenant", [None, "t"])
async def test_lists_of_rejections(connection: Any, tenant: str | None, source: str | None) -> None:
    for page in (Page(50), Page(50, before=9), Page(50, after=9)):
        steps = await connection.run(plan, first(rejections.rejections(tenant, source, page)))
        assert scans(steps) == []
        assert not [step for step in steps if "TEMP B-TREE" in step], steps
        assert (tenant or source) is None or any("INDEX rejections_" in step for step in steps), steps


async def test_what_is_to_be_encrypted_anew_is_found_along_an_index(connection: Any) -> None:
    steps = await connection.run(plan, first(endpoints.reencrypt(PLAIN, 5)))
    assert scans(steps) == []
    assert any("endpoints_key_id" in step for step in steps), steps


@pytest.mark.parametrize(
    ("file", "name", "index"),
    [
        ("claim", "oldest", "outbox_due"),
        ("claim", "lanes", "outbox_due"),
        ("accept", "known", "PRIMARY KEY"),
        ("deliveries", "stop_sending", "outbox_open"),
        ("deliveries", "depth", "outbox_open"),
        ("claim", "recover_crashed", "outbox_open"),
        ("claim", "crashed", "outbox_open"),
        ("claim", "handlers_waited_for", "outbox_open"),
        ("claim", "handlers_waited_for", "outbox_due"),
        ("record", "conclude", "INTEGER PRIMARY KEY"),
        ("endpoints", "subscribers", "PRIMARY KEY"),
        ("deliveries", "cancel_held", "outbox_turn"),
        ("deliveries", "hasten_held", "outbox_turn"),
        ("order", "last_turns", "outbox_turn (endpoint=? AND ordering_key=? AND held=? AND turn>?)"),
        ("order", "hold", "outbox_turn (endpoint=? AND ordering_key=? AND held=? AND turn>?)"),
        ("order", "let_go", "outbox_turn (endpoint=? AND ordering_key=? AND held=? AND turn>?)"),
        ("prune", "met", "events_created_at"),
        ("prune", "met", "outbox_event"),
        ("prune", "met", "PRIMARY KEY (delivery"),
        ("prune", "over", "outbox_event"),
        ("prune", "delete_attempts", "PRIMARY KEY (delivery"),
        ("prune", "delete_outbox", "outbox_event"),
    ],
)
async def test_the_index_that_was_made_for_it(connection: Any, file: str, name: str, index: str) -> None:
    steps = await connection.run(plan, Query(getattr(statements(file), name), {}))
    assert any(index in step for step in steps), steps


async def test_the_oldest_events_are_found_without_sorting_and_without_their_payloads(connection: Any) -> None:
    steps = await connection.run(plan, Query(statements("prune").met, {}))
    assert not [step for step in steps if "TEMP B-TREE" in step], steps


# Opening.


def opening(path: Path) -> Any:
    return open_store(path, lambda: 5, IdFactory(lambda: 5, random.Random(1)), 1000)


async def refused(path: Path) -> str:
    with pytest.raises(StartError) as caught:
        await opening(path).__aenter__()
    text = str(caught.value)
    assert "\n" not in text
    return text


async def test_a_file_has_one_owner(open_in: Open, tmp_path: Path) -> None:
    async with stand_on(open_in, tmp_path):
        assert "belongs to another running hookd" in await refused(tmp_path / "hookd.db")
    async with stand_on(open_in, tmp_path):
        pass


async def test_a_file_with_a_second_name_is_refused_under_either(open_in: Open, tmp_path: Path) -> None:
    path, second = tmp_path / "hookd.db", tmp_path / "second.db"
    async with stand_on(open_in, tmp_path):
        second.hardlink_to(path)
        assert f"{second} has 2 names (hard links)" in await refused(second)
        with pytest.raises(StartError, match="2 names"):
            upkeep.migrate(second)
    assert f"{path} has 2 names (hard links)" in await refused(path)
    second.unlink()
    async with stand_on(open_in, tmp_path):
        pass


async def test_what_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "hookd.db"
    path.write_text("dear diary, " * 1000)
    assert "file is not a database" in await refused(path)
    assert path.read_text().startswith("dear diary")


async def test_a_newer_schema_is_not_touched(tmp_path: Path) -> None:
    newest = migrations()[-1][0]
    async with opening(tmp_path / "hookd.db"):
        pass
    with sqlite3.connect(tmp_path / "hookd.db") as raw:
        raw.execute(f"PRAGMA user_version = {newest + 1}")
    raw.close()
    assert f"schema {newest + 1}, newer than this hookd's {newest}; upgrade hookd" in await refused(
        tmp_path / "hookd.db"
    )


async def test_a_migration_that_another_process_has_just_done_is_not_done_again(connection: Any) -> None:
    number, sql = migrations()[-1]
    await connection.run(_step, number, sql)
    assert await connection.run(schema) == number
    with pytest.raises(sqlite3.OperationalError, match=r"duplicate column|already exists"):
        await connection.run(_step, number + 1, sql)
    assert await connection.run(schema) == number
    await connection.run(_step, number + 1, "CREATE TABLE further (number INTEGER);")
    assert await connection.run(schema) == number + 1


async def test_the_owner_of_a_file_is_known_to_others_while_it_lives(tmp_path: Path) -> None:
    path = tmp_path / "hookd.db"
    assert owner_mark(path) is None
    for mark in ("first and longer", "second"):
        lock = FileLock(path, mark)
        assert owner_mark(path) == mark
        lock.release()
        assert owner_mark(path) is None


async def test_a_lock_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "hookd.db.lock").symlink_to("/dev/full")
    with pytest.raises(StartError, match=r"can't write .*hookd\.db\.lock: "):
        FileLock(tmp_path / "hookd.db", "mark")


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    assert f"there is no folder {folder}; make it" in await refused(folder / "hookd.db")


async def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "hookd.db").mkdir()
    assert "Is a directory" in await refused(tmp_path / "hookd.db")


async def test_every_commit_is_on_disk_and_space_can_be_given_back(stand: Stand) -> None:
    def pragmas(raw: sqlite3.Connection) -> list[Any]:
        names = ("journal_mode", "synchronous", "auto_vacuum")
        return [raw.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await file_of(stand.store).writer.run(pragmas) == ["wal", 2, 2]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.glob("hookd.db*")}


async def test_a_new_file_is_its_owners_alone(stand: Stand, tmp_path: Path) -> None:
    await stand.endpoint()
    assert modes(tmp_path) == dict.fromkeys(("hookd.db", "hookd.db-wal", "hookd.db-shm", "hookd.db.lock"), 0o600)


async def test_what_another_process_writes_is_noticed(stand: Stand, tmp_path: Path) -> None:
    await stand.endpoint()
    await stand.accept()
    await stand.store.notice()
    before = len(stand.commits)
    await stand.store.notice()
    assert len(stand.commits) == before, "nothing was written elsewhere"

    with sqlite3.connect(tmp_path / "hookd.db") as other:
        other.execute("UPDATE outbox SET due_at = 7")
        other.execute('UPDATE endpoints SET headers = \'{"X-New": "1"}\'')
    other.close()
    await stand.store.notice()
    assert stand.due() == {"ep_1": 7}
    (delivery,) = await stand.claim()
    assert getattr(delivery.destination, "headers", None) == {"X-New": "1"}


async def test_what_could_not_be_looked_at_is_looked_at_again(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.endpoint()
    await stand.accept()
    monkeypatch.setattr("hookd.store.sqlite.BUSY_TIMEOUT", 0.01)
    await stand.store.notice()
    with sqlite3.connect(tmp_path / "hookd.db", isolation_level=None) as other:
        other.execute("UPDATE outbox SET due_at = 7")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Exception, match="locked"):
            await stand.store.notice()
        other.execute("ROLLBACK")
    other.close()
    await stand.mended()
    await stand.store.notice()
    assert stand.due() == {"ep_1": 7}


async def test_a_file_that_can_not_be_read_is_a_fault_of_the_storage(open_in: Open, tmp_path: Path) -> None:
    async with stand_on(open_in, tmp_path) as stand:
        await stand.accept(payload=b"x" * 100_000)
    async with stand_on(open_in, tmp_path) as stand:
        spoil(tmp_path / "hookd.db")
        for ask in (stand.store.totals, stand.deliveries, stand.accept):
            with pytest.raises(Unavailable, match="malformed"):
                await ask()


def spoil(path: Path) -> None:
    """Overwrite all but the file's first page, which has been read already."""
    with path.open("r+b") as file:
        length = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xff" * (length - 4096))


def former(path: Path, last: int, endpoint: Endpoint = ENDPOINT) -> sqlite3.Connection:
    """Make a file of a former schema, with an endpoint in it."""
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA auto_vacuum = INCREMENTAL")
    for number, sql in migrations():
        if number <= last:
            raw.executescript(f"{sql}\nPRAGMA user_version = {number};")
    columns = [row[1] for row in raw.execute("PRAGMA table_info(endpoints)") if row[1] != "sequence"]
    places = ", ".join(f":{column}" for column in columns)
    raw.execute(f"INSERT INTO endpoints ({', '.join(columns)}) VALUES ({places})", endpoint_row(endpoint, PLAIN))
    return raw


async def test_what_a_former_schema_told_to_be_failing_is_told_to_have_recovered(tmp_path: Path) -> None:
    former(tmp_path / "hookd.db", 4, replace(ENDPOINT, breaker=Breaker(5, 1, 6))).close()
    async with stand_on(sqlite, tmp_path) as stand:
        await stand.store.hasten("ep_1")
        assert await stand.types() == ["hookd.endpoint.recovered"]


async def test_what_waits_in_a_file_of_a_former_schema_goes_on(tmp_path: Path) -> None:
    raw = former(tmp_path / "hookd.db", 2)
    for number in (1, 2):
        event = (f"evt_{number}", "", "a", "published", b"{}", "application/json", 5)
        raw.execute(
            "INSERT INTO events (id, tenant, type, origin, payload, content_type, created_at) VALUES (?,?,?,?,?,?,?)",
            event,
        )
        row = (f"dlv_{number}", number, "ep_1", "", "a", "pending" if number == 1 else "sending", 5, 5)
        raw.execute(
            "INSERT INTO outbox (id, event, endpoint, tenant, type, status, due_at, created_at)"
            " VALUES (?,?,?,?,?,?,?,?)",
            row,
        )
    raw.close()
    async with stand_on(sqlite, tmp_path) as stand:
        await stand.recover()
        await stand.store.change_endpoint("ep_1", None, lambda before: replace(before, ordered=True))
        (delivery,) = await stand.claim()
        assert (delivery.id, delivery.event.payload) == ("dlv_1", b"{}")
        await stand.end(delivery)
        assert [each.id for each in await stand.claim()] == ["dlv_2"]
