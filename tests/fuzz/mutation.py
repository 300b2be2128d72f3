"""Changes within an input's structure, where a changed byte would mostly break it."""

from __future__ import annotations

import json
import re
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

# Strings, words with what base64url and claim names have, numbers, signs: JSON, PEM, CEL, templates
# and compact tokens all come apart in a useful way.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[A-Za-z0-9_+/=-]+|\s+|[^\w\s]|[\x80-\xff]+', re.DOTALL)

_INTERESTING = (
    b"null",
    b"true",
    b"false",
    b"0",
    b"-1",
    b"1",
    b"-0",
    b"0.5",
    b"1e308",
    b"1e309",
    b"1E-400",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"1" * 400,
    b"1" * 5000,
    b"NaN",
    b'""',
    b'"a"',
    b"[]",
    b"{}",
    b"[[]]",
    b'{"":""}',
    b'[""]',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\\udbff\\udfff"',
    b"\x00",
    b"\xff",
    "\u00e9\u2028\U0001f600".encode(),
    b'"../../etc/passwd"',
    b'"https://issuer.example/"',
    b'"http://"',
    b'"https://[::1]:0/"',
    b'"*"',
    b"*",
    b"\n",
    b".",
    b"/",
    b"~1",
    b'"' + b"a" * 1000 + b'"',
    b"1h",
    b'"1h30m"',
    b"-----BEGIN X-----\n",
)


def tokens(data: bytes, random: Random, words: tuple[bytes, ...]) -> bytes:
    """Change a text by its tokens; the first byte, a selector in most targets, seldom."""
    head, body = data[:1], data[1:]
    if random.random() < 0.05:
        head = bytes((random.randrange(256),))
    parts = _TOKEN.findall(body)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        parts = _changed(parts, random, words)
    return head + b"".join(parts)


def _changed(parts: list[bytes], random: Random, words: tuple[bytes, ...]) -> list[bytes]:
    if not parts:
        return [random.choice(words or _INTERESTING)]
    at = random.randrange(len(parts))
    other = random.randrange(len(parts))
    first, last = min(at, other), max(at, other) + 1
    match random.randrange(9):
        case 0:
            return [*parts[:at], _word(parts, random, words), *parts[at + 1 :]]
        case 1:
            return [*parts[:at], _word(parts, random, words), *parts[at:]]
        case 2:
            return parts[:at] + parts[at + 1 :]
        case 3:
            return parts[:first] + parts[last:] if last - first < 40 else parts[:at]
        case 4:
            return parts[:at] + parts[first : first + 12] + parts[at:]
        case 5:
            parts = parts.copy()
            parts[at], parts[other] = parts[other], parts[at]
            return parts
        case 6:
            chunk = parts[first : first + random.randrange(1, 8)]
            most = _fits(sum(map(len, chunk)))
            times = min(random.choice((2, 3, 10, 70, 130, 600, 65_536)), most)
            return parts[:first] + chunk * times + parts[at:]
        case 7:
            opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")")))
            times = random.choice((1, 1, 2, 65, 130))
            return [*parts[:at], opening * times, parts[at], closing * times, *parts[at + 1 :]]
        case _:
            return [*parts[:at], _bent(parts[at], random), *parts[at + 1 :]]


def _fits(size: int) -> int:
    """How often something of this size is repeated at most.

    64 KiB is all that any input has; more would be the fuzzer's memory, and taken for ours.
    """
    return 1 + 65_536 // max(size, 1)


def _word(parts: list[bytes], random: Random, words: tuple[bytes, ...]) -> bytes:
    return random.choice(random.choice((_INTERESTING, words or _INTERESTING, parts)))


def _bent(token: bytes, random: Random) -> bytes:
    """The token with a byte changed, taken out or put in."""
    at = random.randrange(len(token) + 1)
    return token[:at] + random.randbytes(random.randrange(2)) + token[at + random.randrange(2) :]


_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**400,
    0.5,
    1e308,
    "",
    "a",
    "A,b",
    [],
    {},
    [[]],
    {"": ""},
    [""],
    ["a", 1],
    "\ud800",
    "\0",
    "\u00e9\u2028\U0001f600",
    "*",
    "/",
    "/a/0",
    "~1",
    "1h",
    "-1s",
    "x" * 2000,
    "127.0.0.1/8",
    "::1",
    "https://issuer.example/keys",
    "http://",
    "https://[::1",
    "{{ .sub }}",
    "{{",
    "../x",
    "jwt",
)
_DOCUMENTS = re.compile(rb"([\n\0\t])")


def documents(data: bytes, random: Random, words: tuple[bytes, ...]) -> bytes:
    """Change one of the JSON documents in an input, mostly to one that is JSON still.

    Documents are separated by line ends, tabs or NULs; the first may follow a selector byte.
    """
    if random.random() < 0.2:
        return tokens(data, random, words)
    parts = _DOCUMENTS.split(data)
    at = random.randrange((len(parts) + 1) // 2) * 2
    for skipped in range(2 if at == 0 else 1):
        try:
            value = json.loads(parts[at][skipped:])
        except (ValueError, RecursionError):  # no JSON, no UTF-8, or far too deep
            continue
        head = parts[at][:skipped]
        if head and random.random() < 0.1:
            head = bytes((random.randrange(256),))
        for _ in range(random.choice((1, 1, 2, 3))):
            value = _changed_value(value, random, words)
        try:
            text = json.dumps(value, ensure_ascii=random.random() < 0.5)
        except (ValueError, RecursionError):  # it has grown too deep
            continue
        parts[at] = head + text.encode("utf-8", "replace")
        return b"".join(parts)
    return tokens(data, random, words)


def _changed_value(value: Any, random: Random, words: tuple[bytes, ...]) -> Any:
    """A tree with one node changed."""
    if isinstance(value, dict | list) and value and random.random() < 0.8:
        value = value.copy()
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key: Any = random.choice(keys)
        match random.randrange(12):
            case 0 if random.random() < 0.2:
                return _grown(value, random)
            case 0:
                del value[key]
            case 1:
                value[key] = value[random.choice(keys)]
            case 2 if isinstance(value, dict):
                value[_name(random, words)] = value.pop(key)
            case 2:
                value *= min(random.choice((2, 3, 100)), _fits(len(json.dumps(value))))
            case 3 if isinstance(value, dict):
                value[_name(random, words)] = _leaf(random, words)
            case 3:
                value.insert(key, _leaf(random, words))
            case _:
                value[key] = _changed_value(value[key], random, words)
        return value
    match random.randrange(6):
        case 0:
            return [value]
        case 1:
            return {_name(random, words): value}
        case 2 if isinstance(value, str):
            bent = _bent(value.encode("utf-8", "replace"), random)
            return bent.decode("utf-8", "replace")
        case 3 if isinstance(value, str):
            return tokens(b" " + value.encode("utf-8", "replace"), random, words)[1:].decode(
                "utf-8", "replace"
            )
        case _:
            return _leaf(random, words)


def _grown(value: Any, random: Random) -> Any:
    """The value with very many members, all of them different."""
    count = random.choice((300, 3000, 12_000))
    if isinstance(value, dict):
        return value | {f"{number:x}": number for number in range(count)}
    return value + [f"{number:x}" for number in range(count)]


def _leaf(random: Random, words: tuple[bytes, ...]) -> Any:
    if words and random.random() < 0.4:
        try:
            return json.loads(random.choice(words))
        except ValueError:
            return _name(random, words)
    return random.choice(_VALUES)


def _name(random: Random, words: tuple[bytes, ...]) -> str:
    word = random.choice(words or (b"a",)).decode("utf-8", "replace").strip('"')
    return word if random.random() < 0.9 else word.upper()


def frames(data: bytes, random: Random, _words: tuple[bytes, ...]) -> bytes:
    """Change a selector byte and HTTP/2 frames, frame by frame."""
    head, parts = data[:1], _frames(data[1:])
    return head + b"".join(_shuffled(parts, random, _bent_frame))


def records(data: bytes, random: Random, _words: tuple[bytes, ...]) -> bytes:
    """Change records of a kind (1 byte), a length (2 bytes) and content, record by record."""
    parts = []
    for kind, content in split_records(data):
        parts.append(record(kind, content))
    return b"".join(_shuffled(parts, random, _bent_record))


def record(kind: int, content: bytes) -> bytes:
    """One record."""
    return struct.pack(">BH", kind, len(content)) + content


def split_records(data: bytes) -> list[tuple[int, bytes]]:
    """(kind, content) of each record; the last may be short of its length."""
    found = []
    while len(data) >= 3:
        kind, size = struct.unpack_from(">BH", data)
        found.append((kind, data[3 : 3 + size]))
        data = data[3 + size :]
    return found


def _frames(data: bytes) -> list[bytes]:
    parts = []
    while len(data) >= 9:
        stop = 9 + int.from_bytes(data[:3], "big")
        parts.append(data[:stop])
        data = data[stop:]
    return [*parts, data] if data else parts


def _shuffled(
    parts: list[bytes], random: Random, bent: Callable[[bytes, Random], bytes]
) -> list[bytes]:
    for _ in range(random.choice((1, 1, 2, 3))):
        if not parts:
            return [random.randbytes(12)]
        at, other = random.randrange(len(parts)), random.randrange(len(parts))
        match random.randrange(6):
            case 0:
                parts = parts[:at] + parts[at + 1 :]
            case 1:
                parts = [*parts[:at], parts[other], *parts[at:]]
            case 2:
                parts = parts[:at] + [parts[at]] * random.choice((2, 5, 40)) + parts[at + 1 :]
            case _:
                parts = [*parts[:at], bent(parts[at], random), *parts[at + 1 :]]
    return parts


def _bent_frame(frame: bytes, random: Random) -> bytes:
    if len(frame) < 9:
        return random.randbytes(9)
    kind, flags, stream, payload = frame[3], frame[4], frame[5:9], frame[9:]
    match random.randrange(6):
        case 0:
            kind = random.randrange(11)
        case 1:
            flags ^= 1 << random.randrange(8)
        case 2:
            stream = random.choice((0, 1, 2, 3, 5, 7, 2**31 - 1)).to_bytes(4, "big")
        case 3:
            payload = random.choice(
                (b"", b"\0", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff" * 8, payload * 2)
            )
        case _:
            payload = _bent(payload, random)
    payload = payload[:16_400]
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream + payload


def _bent_record(whole: bytes, random: Random) -> bytes:
    kind, content = whole[0], whole[3:]
    match random.randrange(4):
        case 0:
            kind = random.randrange(16)
        case 1:
            content = tokens(content, random, ())
        case _:
            content = _bent(content, random)
    return record(kind, content[:60_000])
