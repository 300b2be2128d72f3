"""Everything that fits into a line: addresses, durations, patterns, pointers, headers."""

from __future__ import annotations

import binascii
import contextlib
import fnmatch
import ipaddress
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.fuzz.login import CLAIMS
from tests.fuzz.target import Target, check
from vault_jwt_plugin.jwt_auth.cel.mail_address import is_mail_address
from vault_jwt_plugin.jwt_auth.claims.bound_claims import glob_matches
from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.fetcher import max_age_s
from vault_jwt_plugin.jwt_auth.fetching.urls import check_url
from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims, decode_base64url
from vault_jwt_plugin.jwt_auth.providers._re2 import Pattern, PatternError
from vault_jwt_plugin.jwt_auth.providers.okta import next_link
from vault_jwt_plugin.rpc import decode_binary, encode_binary, framing
from vault_jwt_plugin.sdk import coercion, jsonutil
from vault_jwt_plugin.sdk.cidr import CIDRError, CIDRSet, parse_cidrs

if TYPE_CHECKING:
    from collections.abc import Callable


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _try_cidr(data: bytes) -> None:
    text = _text(data)
    try:
        stored = parse_cidrs([text])
    except CIDRError:
        return
    check(parse_cidrs(stored) == stored, "an address that is stored is stored otherwise again")
    found = CIDRSet.of(stored)
    if "%" in text:
        # Python has zones in networks; to Go such a text is the path of a Unix socket, if anything.
        check(not found.allows("::1"), "a network with a zone lets somebody in")
        return
    for address in ("127.0.0.1", "::1", "10.1.2.3", "::ffff:10.1.2.3", "fe80::1", "", "x", "\0"):
        allowed = found.allows(address)
        try:
            network: Any = ipaddress.ip_network(stored[0], strict=False)
            expected = ipaddress.ip_address(address)
        except ValueError:
            continue
        mapped = getattr(expected, "ipv4_mapped", None)
        check(allowed == ((mapped or expected) in network), f"{address} in {stored[0]}")


def _try_duration(data: bytes) -> None:
    for raw in (_text(data), _json_or_none(data)):
        for coerce in (coercion.to_duration_ns, coercion.to_signed_duration_ns):
            try:
                value = coerce(raw)
            except coercion.UnfitError:
                continue
            check(value % coercion.NS_PER_S == 0, "a part of a second is kept")
            check(-(2**63) <= value < 2**63, "a duration beyond Go's")
            seconds = value // coercion.NS_PER_S
            check(coerce(str(seconds)) == value, "a duration's seconds are another duration")


def _json_or_none(data: bytes) -> Any:
    try:
        return jsonutil.loads(data)
    except jsonutil.JSONError:
        return None


_COERCERS: tuple[Callable[[Any], Any], ...] = (
    coercion.to_string,
    coercion.to_lower_string,
    coercion.to_bool,
    coercion.to_int,
    coercion.to_comma_strings,
    coercion.to_map,
    coercion.to_kv_pairs,
    coercion.to_list,
)


def _try_coercion(data: bytes) -> None:
    for raw in (_text(data), _json_or_none(data)):
        for coerce in _COERCERS:
            with contextlib.suppress(coercion.UnfitError):
                jsonutil.dumps(coerce(raw))


def _try_json(data: bytes) -> None:
    """Both readers, and the stricter one takes nothing that the other refuses."""
    loose, strict = _Refused, _Refused
    with contextlib.suppress(jsonutil.JSONError):
        loose = jsonutil.loads(data)
        check(jsonutil.loads(jsonutil.dumps(loose)) == loose, "JSON is not what was written")
    with contextlib.suppress(jsonutil.StrictJSONError):
        strict = jsonutil.loads_strict(data)
    if strict is not _Refused and not _has_tiny(strict):
        check(strict == loose, "the two readers differ")
    if loose is not _Refused:
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(data)
            return
        check(False, "Python refuses what we take")


_Refused: Any = object()


def _has_tiny(value: Any) -> bool:
    """Numbers that go to 0 in Go: the strict reader takes them, as Go does."""
    if isinstance(value, Decimal):
        return bool(value) and value.adjusted() < -jsonutil.MAX_EXPONENT
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_has_tiny(each) for each in items)


def _try_pattern(data: bytes) -> None:
    """A pattern, NUL, a text."""
    raw, _, text = data.partition(b"\0")
    try:
        pattern = Pattern(_text(raw))
    except PatternError:
        return
    found = pattern.matches(_text(text))
    check(pattern.matches(_text(text)) == found, "a second match gives another result")


def _try_glob(data: bytes) -> None:
    raw, _, text = data.partition(b"\0")
    pattern, subject = _text(raw), _text(text)
    found = glob_matches(pattern.split("*"), subject)
    if pattern.count("*") < 4 and len(subject) < 40:
        escaped = re.sub(r"([?\[])", r"[\1]", pattern)
        check(fnmatch.fnmatchcase(subject, escaped) == found, "fnmatch says otherwise")


def _try_pointer(data: bytes) -> None:
    raw, _, document = data.partition(b"\0")
    try:
        claims = jsonutil.loads_strict(document)
    except jsonutil.StrictJSONError:
        claims = dict(CLAIMS)
    if not isinstance(claims, dict):
        return
    name = _text(raw)
    found = ClaimPath.of(name).find(VerifiedClaims(claims))
    if not name.startswith("/"):
        check(found == claims.get(name), "a name finds something else")
    if name == "":
        check(
            ClaimPath.of(name, pointer=False).find(VerifiedClaims(claims)) == found, "names differ"
        )


def _try_headers(data: bytes) -> None:
    text = data.decode("latin-1")
    age = max_age_s(text)
    check(age is None or 0 <= age < 10**10, "an age out of bounds")
    target = next_link(text)
    check(target is None or target in text, "a target that is not in the header")
    with contextlib.suppress(ValueError):
        timeout_s = framing.parse_timeout(text)
        check(0 <= timeout_s <= 99_999_999 * 3600, "a timeout out of bounds")
    message = framing.decode_status_text(text)
    framing.encode_status_text(message)
    framing.status_of({"grpc-status": text, "grpc-message": text})
    framing.status_of_http(text)
    with contextlib.suppress(ValueError):
        decode_binary(text)
    check(decode_binary(encode_binary(data)) == data, "binary metadata is not what was sent")


def _try_base64url(data: bytes) -> None:
    try:
        decoded = decode_base64url(data)
    except ValueError:
        return
    check(len(decoded) == len(data) * 3 // 4, "a length that can't be")
    # All but the unused bits of the last character is decided.
    again = binascii.b2a_base64(decoded, newline=False).rstrip(b"=")
    again = again.translate(bytes.maketrans(b"+/", b"-_"))
    check(again[:-1] == data[:-1], "another text decodes to the same bytes")


def _try_url(data: bytes) -> None:
    with contextlib.suppress(FetchError):
        parts = check_url(_text(data))
        check(parts.scheme in {"http", "https"} and parts.hostname, "no URL that can be fetched")


def _try_mail(data: bytes) -> None:
    is_mail_address(_text(data))


_LINES: tuple[tuple[str, Callable[[bytes], None], tuple[bytes, ...]], ...] = (
    (
        "cidr",
        _try_cidr,
        (
            b"127.0.0.1/8",
            b"::1",
            b"[::1]:80",
            b"1.2.3.4:5",
            b"::ffff:1.2.3.4/97",
            b"1.2.3.4/00ffffff",
            b"./x",
        ),
    ),
    (
        "duration",
        _try_duration,
        (b"1h30m", b"-1.5s", b"30d", b"\xc2\xb5s", b"1e3", b"9223372036", b"+5"),
    ),
    (
        "coercion",
        _try_coercion,
        (
            b"0x_1F",
            b"a, b,c",
            b'["a",1,null]',
            b'{"a":1,"b":[true]}',
            b"a=b,c=d",
            b"0b101",
            b"tRuE",
        ),
    ),
    (
        "json",
        _try_json,
        (
            b'{"a":[1,-0,1e-400,0.1],"\\u00e9":"\\ud83d\\ude00"}',
            b"[" * 140,
            b'"\\ud800"',
            b"1E+309",
            b" null ",
        ),
    ),
    (
        "pattern",
        _try_pattern,
        (
            b"^(a|b)+c?$\0abc",
            b"(?i)[[:alpha:]]{2,5}\\b\0Ab c",
            b"\\pL+.*\0x",
            b"((a*)*)*b\0aaaa",
            b"(?:x{10}){10}\0x",
        ),
    ),
    ("glob", _try_glob, (b"team/*\0team/web", b"*a*b*\0xaxbx", b"**\0", b"a*a\0a")),
    (
        "pointer",
        _try_pointer,
        (b"/deep/list/0/x~1y~0z\0{}", b'/a//b\0{"a":{"":{"b":1}}}', b"sub\0[]", b"/01\0{}"),
    ),
    (
        "headers",
        _try_headers,
        (
            b'<https://a/b?c=d>; rel="next", <x>; rel=self',
            b"public, max-age=60",
            b"10S",
            b"a%20b%zz",
            b"AAE",
        ),
    ),
    ("base64url", _try_base64url, (b"AQID", b"AQI", b"-_8", b"A", b"AQ==")),
    (
        "url",
        _try_url,
        (
            b"https://a.example:8443/x?y#z",
            b"http://[::1]:80/",
            b"https://u:p@h/",
            b"HTTPS://\xc3\xa9.example",
        ),
    ),
    (
        "mail",
        _try_mail,
        (b"a.b+c@d.example", b'"q \\" x"@d', b"A <a@b>", b"=?utf-8?q?x?= <a@b>", b"a@[1.2.3.4]"),
    ),
)


def _line(data: bytes) -> None:
    """First byte: which language; then the text."""
    _LINES[(data[0] if data else 0) % len(_LINES)][1](data[1:])


def _lines() -> dict[str, bytes]:
    return {
        f"{name}-{at}": bytes((number,)) + text
        for number, (name, _, texts) in enumerate(_LINES)
        for at, text in enumerate(texts)
    }


_LINE_WORDS = (
    *tuple(
        rb"""
    /8 /128 :: ffff: :80 ns us ms h m d 1. .5 e400 _ (?i) (?s: \b \d [^ ] {2,5} {1000} *? | \pN
    \Q \x{1F600} * ~0 ~1 /- max-age= % @ < > \u =?
    """.split()
    ),
    b"\x00",
    b'; rel="next"',
)

TARGETS = (Target(name="lines", run=_line, examples=_lines, words=_LINE_WORDS),)
