"""Reading the configuration: defaults, every setting, and every fault at once."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.config import Address, Settings, locate, read
from hookd.config.kinds import Surroundings
from hookd.config.reading import judged
from hookd.config.words import _is_random
from hookd.errors import ConfigError
from hookd.model import ApiToken, Field, Handler, Scope, Source, Trigger
from hookd.policy.networks import all_networks
from tests.config.documents import HANDLER, SOURCE, STANDARD, TOKEN, TRIGGER, faults, settings
from tests.nouns import NEW_KEY, OLD_KEY, in_base64

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000

EVERYTHING = f"""
[server]
host = "0.0.0.0"
port = 0
inbound = "[::]:8081"
max_body = "64KiB"
drain = "1m"
proxies = ["loopback", "10.0.0.1"]
[store]
url = "sqlite:data/events.db"
keys = ["{in_base64(NEW_KEY)}", "{in_base64(OLD_KEY)}"]
dedupe = "1h"
lease = "5m"
listen = false
[delivery]
timeout = "500ms"
max_in_flight = 8
per_endpoint = 2
retry = ["1s", "1m"]
jitter = 0
disable_after = "1d"
response_kept = "0B"
cloudevents_source = "https://hooks.example"
[network]
allow = ["loopback", "private", "192.0.2.0/24", "2001:db8::1"]
deny = ["10.1.0.0/16"]
proxy = "http://proxy.example:3128"
[log]
level = "debug"
format = "json"
[[auth.tokens]]
name = "ci.1"
hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
scopes = ["publish", "read"]
tenant = "acme"
[[triggers]]
path = "/api/signup"
type = "user.signed_up"
required = ["email"]
reply = "Welcome"
auth = "none"
[[sources]]
name = "shop"
path = "/hooks/shop"
scheme = "token"
secrets = ["old", "new"]
header = "X-Shop-Token"
id = "header:X-Shop-Id"
type = "body:event.type"
tenant = "acme"
max_body = "1KiB"
reply = "thanks"
refuse = "no"
format = "cloudevents"
allow = ["private", "192.0.2.0/24", "::ffff:198.51.100.0/120", "2001:db8::/32"]
methods = ["PUT", "POST"]
[sources.filter]
headers.X-Shop-Event = ["paid", {{ prefix = "order." }}]
type = [{{ anything-but = "shop.test" }}]
body.amount = [{{ numeric = [">=", 0.5] }}]
body."a b" = [{{ exists = false }}, true, "\\"\\n"]
"$or" = [{{ body.a = [1] }}, {{ "$not" = {{ body.b = [2] }} }}]
[[handlers]]
name = "greet-all"
filter = {{ body.amount = [1] }}
event_types = ["shop.*", "user.signed_up"]
run = "python:json:loads"
timeout = "2s"
max_in_flight = 1
"""


EVERY_PART = {
    "headers": {"X-Shop-Event": ["paid", {"prefix": "order."}]},
    "type": [{"anything-but": "shop.test"}],
    "body": {"amount": [{"numeric": [">=", 0.5]}], "a b": [{"exists": False}, True, '"\n']},
    "$or": [{"body": {"a": [1]}}, {"$not": {"body": {"b": [2]}}}],
}


def test_without_anything_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = read(None, {})
    assert found == settings(tmp_path, "")
    assert (found.server.host, found.server.port, found.server.inbound) == ("127.0.0.1", 8080, None)
    assert (found.server.max_body, found.server.drain) == (1 << 20, 20 * SECOND)
    assert found.server.proxies == ()
    assert (found.store.path, found.store.keys, found.store.dedupe) == (tmp_path / "hookd.db", (), 30 * DAY)
    assert (found.store.lease, found.store.listen) == (10 * SECOND, True)
    delivery = found.delivery
    assert (delivery.timeout, delivery.max_in_flight, delivery.per_endpoint) == (15 * SECOND, 256, 16)
    hours = (2, 5, 10, 14, 20, 24)
    assert delivery.retry == (5 * SECOND, 5 * MINUTE, 30 * MINUTE, *(number * HOUR for number in hours))
    assert (delivery.jitter, delivery.disable_after, delivery.response_kept) == (0.1, 5 * DAY, 4096)
    assert (found.network.allow, found.network.deny, found.network.proxy) == ((), (), None)
    assert (found.log.level, found.log.format) == ("info", "text")
    assert [found.tokens, found.triggers, found.sources, found.handlers] == [(), (), (), ()]


@pytest.mark.parametrize("table", ["[server]", SOURCE])
def test_a_body_that_could_not_be_stored_is_not_allowed(tmp_path: Path, table: str) -> None:
    settings(tmp_path, f'{table}\nmax_body = "512MiB"')
    with pytest.raises(ConfigError, match="from 1B to 512MiB"):
        settings(tmp_path, f'{table}\nmax_body = "1GiB"')


def test_every_setting_is_read(tmp_path: Path) -> None:
    found = settings(tmp_path, EVERYTHING)
    assert found.server.inbound == Address("::", 8081)
    assert (found.server.host, found.server.port) == ("0.0.0.0", 0)
    assert (found.server.max_body, found.server.drain) == (64 * 1024, MINUTE)
    assert found.server.proxies == ("loopback", "10.0.0.1")
    assert (found.store.path, found.store.dedupe) == (tmp_path / "data" / "events.db", HOUR)
    assert found.store.keys == (NEW_KEY, OLD_KEY)
    assert (found.store.lease, found.store.listen) == (5 * MINUTE, False)
    assert (found.delivery.retry, found.delivery.jitter) == ((SECOND, MINUTE), 0.0)
    assert (found.delivery.max_in_flight, found.delivery.per_endpoint) == (8, 2)
    assert (found.delivery.timeout, found.delivery.disable_after, found.delivery.response_kept) == (500, DAY, 0)
    assert found.delivery.cloudevents_source == "https://hooks.example"
    assert found.network.allow == ("loopback", "private", "192.0.2.0/24", "2001:db8::1")
    assert (found.network.deny, found.network.proxy) == (("10.1.0.0/16",), "http://proxy.example:3128")
    assert (found.log.level, found.log.format) == ("debug", "json")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert found.tokens == (ApiToken("ci.1", digest, frozenset({Scope.PUBLISH, Scope.READ}), "acme"),)
    assert found.triggers == (Trigger("/api/signup", "user.signed_up", ("email",), "Welcome", authenticated=False),)
    greet_all = Handler("greet-all", ("shop.*", "user.signed_up"), "python:json:loads", 2 * SECOND, 1)
    assert found.handlers == (replace(greet_all, filter='{"body":{"amount":[1]}}'),)
    assert found.sources == (
        Source(
            name="shop",
            path="/hooks/shop",
            scheme="token",
            secrets=("old", "new"),
            tolerance=None,
            header="X-Shop-Token",
            id=Field("header", "X-Shop-Id"),
            type=Field("body", "event.type"),
            tenant="acme",
            max_body=1024,
            reply="thanks",
            refuse="no",
            filter=msgspec.json.encode(EVERY_PART).decode(),
            allow=all_networks(("private", "192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32")),
            methods=("PUT", "POST"),
            format="cloudevents",
        ),
    )


def test_what_a_source_does_not_say_is_its_schemes(tmp_path: Path) -> None:
    token, standard = settings(tmp_path, f'[server]\nmax_body = "2MiB"\n{SOURCE}{STANDARD}').sources
    for source in (token, standard):
        assert (source.header, source.id, source.type, source.tolerance, source.reply) == (None,) * 5
        assert (source.max_body, source.refuse) == (2 << 20, "unauthorized")


def test_the_tolerance_is_of_schemes_with_a_timestamp(tmp_path: Path) -> None:
    [source] = settings(tmp_path, STANDARD + 'tolerance = "1m"\n').sources
    assert source.tolerance == MINUTE
    told = faults(tmp_path, SOURCE + 'tolerance = "1m"\n')
    assert told == {"sources[0].tolerance": "the scheme token has no timestamp; take it out"}


def test_what_is_unknown_of_a_secret_is_named_unless_it_may_be_one(tmp_path: Path) -> None:
    for name, told in (("envv", "envv is unknown; expected a string"), ("whsec_7Q", "expected a string")):
        found = faults(tmp_path, SOURCE.replace('"s3cret"', f'{{ {name} = "X" }}'))
        assert found["sources[0].secrets[0]"].startswith(told)


def test_cloud_events_name_themselves(tmp_path: Path) -> None:
    cloudevents = STANDARD + 'format = "cloudevents"\n'
    [source] = settings(tmp_path, cloudevents).sources
    assert (source.format, source.id, source.type) == ("cloudevents", None, None)
    [source] = settings(tmp_path, cloudevents + 'id = "header:X-Id"\n').sources
    assert source.id == Field("header", "X-Id")


def test_triggers_and_handlers_have_defaults_too(tmp_path: Path) -> None:
    found = settings(tmp_path, TRIGGER + HANDLER)
    assert found.triggers == (Trigger("/api/purchase", "purchase", (), "OK", authenticated=True),)
    assert found.handlers == (Handler("greet", ("*",), "log:Hello {name}"),)


def test_a_program_is_found_beside_the_file_or_on_the_path(tmp_path: Path) -> None:
    for name in ("notify", "anywhere"):
        (tmp_path / name).touch(0o755)
    text = HANDLER.replace("log:Hello {name}", "exec:./notify --to x")
    assert settings(tmp_path, text).handlers[0].run == f"exec:{tmp_path}/notify --to x"
    text = HANDLER.replace("log:Hello {name}", "exec:anywhere")
    assert settings(tmp_path, text, {"PATH": str(tmp_path)}).handlers[0].run == f"exec:{tmp_path}/anywhere"


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    text = """
    colour = "red"
    [server]
    port = 65536
    hots = "127.0.0.1"
    [delivery]
    timeout = 15
    retry = ["5s", 5]
    [log]
    level = "loud"
    [auth]
    keys = []
    [[sources]]
    name = "a-b"
    path = "webhook"
    scheme = "token"
    secrets = []
    [[handlers]]
    run = "shell:rm"
    """
    found = faults(tmp_path, text, {"HOOKD_SERVER__COLOUR": "red", "HOOKD_TOKEN": ""})
    assert set(found) == {
        "colour",
        "server.port",
        "server.hots",
        "delivery.timeout",
        "delivery.retry[1]",
        "log.level",
        "auth.keys",
        "sources[0].name",
        "sources[0].path",
        "sources[0].secrets",
        "handlers[0].name",
        "handlers[0].run",
        "HOOKD_SERVER__COLOUR",
        "HOOKD_TOKEN",
    }
    assert found["delivery.timeout"].startswith('expected a duration such as "15s"')
    assert found["delivery.timeout"].endswith(", got 15")
    assert found["server.hots"] == "unknown key; did you mean host?"
    assert found["handlers[0].name"].startswith("missing: expected a name")
    assert "log:" in found["handlers[0].run"]
    assert "python:" in found["handlers[0].run"]


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("[server]\nport = -1", "server.port"),
        ("[server]\nport = true", "server.port"),
        ("[server]\nport = 8080.0", "server.port"),
        ("[server]\nhost = ''", "server.host"),
        ("[server]\nhost = 'a b'", "server.host"),
        ("[server]\ninbound = '8081'", "server.inbound"),
        ("[server]\ninbound = '::1:8081'", "server.inbound"),
        ("[server]\ninbound = '0.0.0.0:65536'", "server.inbound"),
        ("[server]\nmax_body = '0B'", "server.max_body"),
        ("[store]\nlease = '999ms'", "store.lease"),
        ("[store]\nlease = '301s'", "store.lease"),
        ("[store]\nlisten = 'no'", "store.listen"),
        ("[store]\nretain = '90d'", "store.retain"),
        ("[store]\nretention = '0s'", "store.retention"),
        (f"[store]\nkeys = '{in_base64(NEW_KEY)}'", "store.keys"),
        ("[delivery]\nbreaker = true", "delivery.breaker"),
        ("[delivery]\nbreaker = { share = 0 }", "delivery.breaker"),
        ("[delivery]\nbreaker = { wait = '10m', longest = '1m' }", "delivery.breaker"),
        ("[delivery]\nbreaker = { wait = '10m' }", "delivery.breaker"),
        ("[delivery]\njitter = 1.01", "delivery.jitter"),
        ("[delivery]\njitter = nan", "delivery.jitter"),
        ("[delivery]\nper_endpoint = 0", "delivery.per_endpoint"),
        ("[delivery]\nretry = '5s'", "delivery.retry"),
        (f"[delivery]\nretry = {['0s'] * 101}", "delivery.retry"),
        ("[network]\nallow = ['10.1.0.1/16']", "network.allow[0]"),
        ("[network]\nallow = ['everything']", "network.allow[0]"),
        ("[network]\nproxy = 'ftp://proxy'", "network.proxy"),
        ("[network]\nproxy = 'http://proxy:many'", "network.proxy"),
        ("[network]\nproxy = 'http://[::1'", "network.proxy"),
        ('[network]\nproxy = "http://a\\nb"', "network.proxy"),
        ("[log]\nformat = 1979-05-27", "log.format"),
        ("server = 1", "server"),
        ("sources = 1", "sources"),
        ("sources = [1]", "sources[0]"),
        ("auth = 1", "auth"),
        (SOURCE + "url = 'https://example.com'", "sources[0].url"),
        (SOURCE.replace('"token"', '"stripe9"'), "sources[0].scheme"),
        (SOURCE + "id = 'query:id'", "sources[0].id"),
        (STANDARD + "header = 'X'", "sources[0].header"),
        (STANDARD + "tolerance = '3651d'", "sources[0].tolerance"),
        ("[server]\nproxies = 'loopback'", "server.proxies"),
        ("[server]\nproxies = ['proxy.example']", "server.proxies[0]"),
        (SOURCE + "allow = []", "sources[0].allow"),
        (SOURCE + "allow = '10.0.0.0/8'", "sources[0].allow"),
        (SOURCE + "allow = ['10.0.0.0/8', '10.0.0.1/8']", "sources[0].allow[1]"),
        (SOURCE + "methods = []", "sources[0].methods"),
        (SOURCE + "methods = ['POST', 'post']", "sources[0].methods[1]"),
        (SOURCE + "filter = 'a'", "sources[0].filter"),
        (SOURCE + "filter = {}", "sources[0].filter"),
        (SOURCE + "filter.query.a = ['b']", "sources[0].filter.query"),
        (SOURCE + "filter.body.a = 'b'", "sources[0].filter.body.a"),
        (SOURCE + "filter.body.'a b' = [1979-05-27]", 'sources[0].filter.body."a b"[0]'),
        (SOURCE + "filter.body.a = [{ numeric = ['>', nan] }]", "sources[0].filter.body.a[0].numeric[1]"),
        (SOURCE + "filter.type = ['paid']", "sources[0].filter.type[0]"),
        (HANDLER + "filter.headers.a = ['b']", "handlers[0].filter.headers"),
        (HANDLER + "filter.'$or' = [{ body.a = [] }]", 'handlers[0].filter."$or"[0].body.a'),
        (SOURCE.replace('"token"', '"standard"'), "sources[0].secrets[0]"),
        (TRIGGER + "required = ['id']", "triggers[0].required"),
        (TRIGGER + "required = ['a', 'a']", "triggers[0].required"),
        (TRIGGER + "auth = 'basic'", "triggers[0].auth"),
        (TRIGGER.replace('"purchase"', '"pur chase"'), "triggers[0].type"),
        (HANDLER + "event_types = []", "handlers[0].event_types"),
        (HANDLER + "event_types = ['*.a']", "handlers[0].event_types[0]"),
        (HANDLER.replace("log:Hello {name}", "python:no_such_module:run"), "handlers[0].run"),
        (HANDLER.replace("log:Hello {name}", "python:json:no_such_function"), "handlers[0].run"),
        (HANDLER.replace("log:Hello {name}", "exec:./missing.sh"), "handlers[0].run"),
        (HANDLER.replace("log:Hello {name}", "exec:no-such-program"), "handlers[0].run"),
        (HANDLER.replace("log:Hello {name}", "exec:config.toml"), "handlers[0].run"),
        (HANDLER.replace('"log:Hello {name}"', "7"), "handlers[0].run"),
        (TOKEN.replace('["read"]', "[]"), "auth.tokens[0].scopes"),
        (TOKEN.replace('token = "t0ken"', ""), "auth.tokens[0].token"),
        (TOKEN.replace("token =", "hash ="), "auth.tokens[0].hash"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, pointer: str) -> None:
    assert set(faults(tmp_path, text)) == {pointer}


def test_every_fault_of_a_filter_is_named(tmp_path: Path) -> None:
    found = faults(tmp_path, SOURCE.replace("shop", "a-b") + "filter = { body.a = 5, type = ['x y'], headers.a = [1] }")
    assert set(found) == {
        f"sources[0].{key}" for key in ("name", "filter.body.a", "filter.type[0]", "filter.headers.a[0]")
    }


@pytest.mark.parametrize(
    "key",
    [
        "correct horse battery staple",
        in_base64(b"correct HORSE battery staple 123"),
        in_base64(NEW_KEY[:16]),
        in_base64(NEW_KEY[:31]),
        in_base64(NEW_KEY + OLD_KEY[:1]),
        in_base64(NEW_KEY)[:-1],
        in_base64(NEW_KEY) + " ",
        in_base64(bytes(32)),
        in_base64(NEW_KEY[:8] * 4),
        NEW_KEY.hex(),
        "schlüssel",
    ],
)
def test_a_weak_key_is_refused_with_a_way_to_make_one(tmp_path: Path, key: str) -> None:
    found = faults(tmp_path, f'[store]\nkeys = ["{in_base64(OLD_KEY)}", "{key}"]')
    detail = "expected the base64 of 32 random bytes, as `head -c 32 /dev/urandom | base64` prints it"
    assert found == {"store.keys[1]": detail}


@given(st.binary())
def test_a_key_of_random_bytes_is_taken(noise: bytes) -> None:
    key = sha256(noise).digest()  # as random as a hash is
    assert _is_random(key)
    assert not _is_random(key[:15] + key[:1] * 17)


def test_a_key_stands_once(tmp_path: Path) -> None:
    keys = [in_base64(key) for key in (NEW_KEY, OLD_KEY, NEW_KEY)]
    assert faults(tmp_path, f"[store]\nkeys = {keys}") == {"store.keys": "expected each key once"}


def test_keys_are_secrets_like_others(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(in_base64(OLD_KEY) + "\n")
    text = '[store]\nkeys = [{ env = "NEW" }, { file = "key" }]'
    assert settings(tmp_path, text, {"NEW": in_base64(NEW_KEY)}).store.keys == (NEW_KEY, OLD_KEY)
    assert faults(tmp_path, text) == {"store.keys[0]": "the environment has no variable 'NEW'"}
    environment = {"HOOKD_STORE__KEYS": f'["{in_base64(OLD_KEY)}"]'}
    assert settings(tmp_path, "", environment).store.keys == (OLD_KEY,)
    assert set(faults(tmp_path, "", {"HOOKD_STORE__KEYS": "['weak']"})) == {"HOOKD_STORE__KEYS[0]"}


def test_both_a_hash_and_a_token_are_one_too_many(tmp_path: Path) -> None:
    found = faults(tmp_path, f'{TOKEN}hash = "{"0" * 64}"')
    assert found == {"auth.tokens[0].token": "expected either a hash or a token, got both"}


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("true", "true"),
        ("-1", "-1"),
        ("nan", "nan"),
        (str(2**60), "a larger number"),
        ("'x'", '"x"'),
        ("{}", "a table"),
    ],
)
def test_a_fault_says_what_it_got_instead(tmp_path: Path, value: str, got: str) -> None:
    detail = faults(tmp_path, f"[server]\nport = {value}")["server.port"]
    assert detail == f"expected a whole number from 0 to 65535, got {got}"


@pytest.mark.parametrize(
    ("scopes", "got"),
    [('["read", "wirte"]', '"wirte"'), ("[]", "an empty array"), ('"read"', '"read"'), ("[[]]", "an empty array")],
)
def test_a_fault_of_scopes_names_the_entry(tmp_path: Path, scopes: str, got: str) -> None:
    detail = faults(tmp_path, TOKEN.replace('["read"]', scopes))["auth.tokens[0].scopes"]
    assert detail.endswith(f"at least one of them, got {got}")


def test_an_address_for_a_network_is_told_the_network(tmp_path: Path) -> None:
    detail = faults(tmp_path, '[network]\nallow = ["10.0.0.1/8"]')["network.allow[0]"]
    assert detail.endswith("got '10.0.0.1/8'; did you mean 10.0.0.0/8?")


def test_no_retries_at_all_are_allowed(tmp_path: Path) -> None:
    assert settings(tmp_path, "[delivery]\nretry = []").delivery.retry == ()


@pytest.mark.parametrize(("dedupe", "fits"), [("110m", True), ("109m", False), ("6599999ms", False)])
def test_ids_are_remembered_as_long_as_retries_last(tmp_path: Path, dedupe: str, fits: bool) -> None:
    text = f'[store]\ndedupe = "{dedupe}"\n[delivery]\nretry = ["100m"]'  # ± 10 %
    if fits:
        assert settings(tmp_path, text).store.dedupe == 110 * MINUTE
    else:
        assert "expected at least 110m:" in faults(tmp_path, text)["store.dedupe"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_token(tmp_path: Path, host: str) -> None:
    text = f'[server]\nhost = "{host}"\ninbound = "0.0.0.0:8081"'
    assert settings(tmp_path, text).server.host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_any_other_host_needs_one(tmp_path: Path, host: str) -> None:
    text = f'[server]\nhost = "{host}"'
    detail = faults(tmp_path, text)["server.host"]
    assert "hookd token" in detail
    assert 'host = "127.0.0.1"' in detail
    assert settings(tmp_path, text, {"HOOKD_TOKEN": "t0ken"}).server.host == host
    assert settings(tmp_path, text + TOKEN).server.host == host


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[server]\nport == 1", "at line 2, column 7"),
        (b"[server]\nhost = '\xff'", "not UTF-8"),
        (b"a = " + b"[" * 10_000, "nested too deeply"),
        (b"a = " + b"9" * 10_000, "too large a number"),
    ],
)
def test_a_file_that_is_no_toml_is_one_fault(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=expected) as caught:
        read(path, {})
    assert [fault.pointer for fault in caught.value.faults] == [str(path)]


def test_a_file_that_can_not_be_read_is_one_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: can't be read: No such file"):
        read(tmp_path / "missing.toml", {})
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        read(tmp_path, {})


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert settings(tmp_path, "\ufeff[server]\nport = 1").server.port == 1


def test_the_configuration_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"HOOKD_CONFIG": "/elsewhere/config.toml"}
    assert locate(Path("mine.toml"), environment) == Path("mine.toml")
    assert locate(None, environment) == Path("/elsewhere/config.toml")
    Path("config.toml").touch()
    assert locate(None, {}) == Path("config.toml")


TABLES = ["server", "store", "delivery", "network", "log", "auth", "triggers", "sources", "handlers"]
KEYS = ["name", "path", "type", "scheme", "secrets", "run", "tokens", "token", "hash", "scopes", "url", "retry", "host"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.just("token")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(TABLES) | st.text(), VALUES, max_size=4), st.dictionaries(st.text(), st.text()))
def test_any_document_is_settings_or_a_config_error(document: dict[str, object], environment: dict[str, str]) -> None:
    try:
        assert isinstance(judged(document, Surroundings(Path("/nowhere"), environment)), Settings)
    except ConfigError as error:
        assert error.faults  # noqa: PT017 - most documents are faulty, some are not


PIECES = st.sampled_from(
    ["[server]", "[[sources]]", "[store", "port = ", "8080", "keys = [", "]", '"', "'", "{ env = ", "}", "=", "\n",
     "1979-05-27", "inf", "\\u0000", "#", ".", ",", "true", "[[auth.tokens]]", 'name = "a"', "\ufeff", "\0"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=15).map("".join).map(str.encode) | st.binary(max_size=60))
def test_any_file_is_settings_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "config.toml"
    path.write_bytes(content)
    try:
        assert isinstance(read(path, {}), Settings)
    except ConfigError as error:
        assert error.faults  # noqa: PT017 - most are faulty, some are not
        assert all(fault.detail.isprintable() for fault in error.faults)  # noqa: PT017
