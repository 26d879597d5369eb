"""Who calls, from behind proxies or not."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.policy.networks import all_networks, caller, is_within

PROXIES = all_networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["nonsense, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1, nonsense"], None),
        ("10.0.0.1", ["192.0.2.1,"], None),
        ("10.0.0.1", [""], None),
        ("10.0.0.1", ["192.0.2.1:8080"], "192.0.2.1"),
        ("10.0.0.1", ["[2001:db8::1]:8080"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("", [], None),
        ("10.0.0.1", ["10.0.0.1" * 9000], None),
    ],
)
def test_who_calls(peer: str, forwarded: list[str], expected: str | None) -> None:
    assert caller(peer, forwarded, PROXIES) == (None if expected is None else ip_address(expected))


@given(st.ip_addresses(), st.lists(st.text() | st.ip_addresses().map(str)))
def test_nobody_but_a_trusted_proxy_is_believed(peer: IPv4Address | IPv6Address, forwarded: list[str]) -> None:
    if not is_within(peer, PROXIES) and getattr(peer, "ipv4_mapped", None) is None:
        assert caller(str(peer), forwarded, PROXIES) == peer


@given(st.lists(st.text()), st.ip_addresses(v=4).filter(lambda address: not is_within(address, PROXIES)))
def test_what_a_caller_writes_makes_no_difference(forged: list[str], address: IPv4Address) -> None:
    assert caller("10.0.0.1", [*forged, str(address)], PROXIES) == address


@pytest.mark.parametrize("entry", ["::ffff:10.0.0.0/104", "::ffff:10.1.2.3", "private"])
def test_a_mapped_network_is_the_ipv4_one(entry: str) -> None:
    assert is_within(ip_address("10.1.2.3"), all_networks([entry]))
