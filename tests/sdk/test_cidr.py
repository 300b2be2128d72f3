"""Bound addresses as go-sockaddr reads them."""

from __future__ import annotations

import pytest

from vault_jwt_plugin.sdk import CIDRError, CIDRSet, parse_cidrs


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1/32", "127.0.0.1"),
        ("127.0.0.1/8", "127.0.0.1/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("10.0.0.1:0", "10.0.0.1"),
        ("192.168.3.51/00ffffff", "192.168.3.51"),
        ("::1", "::1"),
        ("::1/128", "::1"),
        ("[::1]", "::1"),
        ("[::1]:443", "[::1]:443"),
        ("2001:DB8:0:0::/32", "2001:db8::/32"),
        ("::0102:0304", "::102:304"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1/104", "10.0.0.1/8"),
        ("/run/agent.sock", "/run/agent.sock"),
        ("./agent.sock", "./agent.sock"),
        ("256.0.0.0/-1", "256.0.0.0/-1"),
        ("10.0.0.0/33", "10.0.0.0/33"),
    ],
    ids=str,
)
def test_stored_text(text, stored):
    assert parse_cidrs([text]) == (stored,)
    assert parse_cidrs([stored]) == (stored,)


@pytest.mark.parametrize("text", ["", "x", "10.0.0", "010.0.0.1", "10.0.0.1:99999", "localhost"])
def test_neither_address_nor_socket(text):
    with pytest.raises(CIDRError) as caught:
        parse_cidrs([text])
    assert caught.value.message == (
        f'error parsing address "{text}": '
        f'Unable to convert "{text}" to an IPv4 or IPv6 address, or a UNIX Socket'
    )


def test_a_phrase_that_hosts_act_on_is_left_out():
    with pytest.raises(CIDRError) as caught:
        parse_cidrs(["node is not the leader"])
    assert "leader" not in caught.value.message


@pytest.mark.parametrize(
    ("addr", "cidrs", "ok"),
    [
        ("127.0.0.1", [], True),
        ("nonsense", [], True),
        ("127.9.9.9", ["127.0.0.1/8"], True),
        ("128.0.0.1", ["127.0.0.1/8"], False),
        ("10.0.0.1", ["10.0.0.2", "10.0.0.1"], True),
        ("10.0.0.1", ["10.0.0.1:80"], True),
        ("1.2.3.4", ["0.0.0.0/0"], True),
        ("::1", ["0.0.0.0/0"], False),
        ("::1", ["::/0"], True),
        ("1.2.3.4", ["::/0"], False),
        ("2001:db8::5", ["2001:db8::/32"], True),
        ("2001:db9::5", ["2001:db8::/32"], False),
        ("::ffff:10.0.0.1", ["10.0.0.0/8"], True),
        ("10.0.0.1", ["/run/agent.sock"], False),
        ("/run/agent.sock", ["/run/agent.sock"], False),
        ("", ["10.0.0.0/8"], False),
        ("10.0.0.1\x00", ["10.0.0.0/8"], False),
        ("nonsense", ["10.0.0.0/8"], False),
    ],
    ids=str,
)
def test_who_is_inside(addr, cidrs, ok):
    assert CIDRSet.of(cidrs).allows(addr) is ok
