"""Log records become lines that are safe for every host."""

import contextlib
import datetime as dt
import enum
import json
import logging
import os
import re
import sys
import time

import pytest

from vault_jwt_plugin.goplugin import hclog
from vault_jwt_plugin.goplugin._redact import redact
from vault_jwt_plugin.goplugin._stderr import PipeSink

JWT = (
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJyM3FYOURsandGSVdoc2lxd0ZpdSJ9."
    "k6UEfXNBZTIvQ2c4Tn0LS9Ge9-8rAfVqvKmmoVZ3Z5pLzBlSHsmQ9l6yJ2Jc5mQr"
)
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKC\nAQEA\n-----END RSA PRIVATE KEY-----"


class Lines:
    def __init__(self):
        self.lines = []

    def write(self, line):
        self.lines.append(line)


class Hostile:
    def __str__(self):
        raise ValueError(JWT)

    __repr__ = __str__


class Colour(enum.IntEnum):
    RED = 3


def record(message="hello", *args, level=logging.INFO, fields=None, exc_info=None, name="a.b"):
    made = logging.LogRecord(name, level, __file__, 1, message, args, exc_info)
    if fields is not None:
        made.fields = fields
    return made


def lines_of(made):
    sink = Lines()
    hclog.Handler(sink).handle(made)
    return sink.lines


def entry(made):
    (line,) = lines_of(made)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) < 64 * 1024
    decoded = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    # A host asserts these without a check.
    for key in ("@level", "@message", "@timestamp"):
        assert type(decoded[key]) is str
    assert decoded["@level"] in {"trace", "debug", "info", "warn", "error"}
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", decoded["@timestamp"], flags=re.ASCII
    )
    return decoded


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (1, "trace"),
        (logging.DEBUG, "debug"),
        (15, "debug"),
        (logging.INFO, "info"),
        (logging.WARNING, "warn"),
        (logging.ERROR, "error"),
        (logging.CRITICAL, "error"),
        (99, "error"),
    ],
)
def test_levels_are_those_that_hosts_know(number, level):
    assert entry(record(level=number))["@level"] == level


def test_an_ordinary_line():
    made = record("role %s written", "demo", fields={"mount": "auth/jwt/", "roles": 3})
    made.created = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC).timestamp()
    assert entry(made) == {
        "@level": "info",
        "@message": "role demo written",
        "@module": "a.b",
        "@timestamp": "2026-01-02T03:04:05.000000Z",
        "mount": "auth/jwt/",
        "roles": 3,
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param("text", "text", id="text"),
        pytest.param("", "", id="empty"),
        pytest.param(None, None, id="none"),
        pytest.param(True, True, id="bool"),
        pytest.param(7, 7, id="int"),
        pytest.param(2**60, "1152921504606846976", id="beyond-float64"),
        pytest.param(10**5000, "[unprintable int]", id="beyond-printing"),
        pytest.param(Colour.RED, 3, id="enum"),
        pytest.param(1.5, 1.5, id="float"),
        pytest.param(float("nan"), "nan", id="nan"),
        pytest.param(float("inf"), "inf", id="infinity"),
        pytest.param(float("-inf"), "-inf", id="minus-infinity"),
        pytest.param(b"\x00secret", "[7 bytes]", id="bytes"),
        pytest.param(bytearray(3), "[3 bytes]", id="bytearray"),
        pytest.param(memoryview(b"ab"), "[2 bytes]", id="memoryview"),
        pytest.param("a\nb\r\x00\u2028", "a\nb\r\x00\u2028", id="control-characters"),
        pytest.param("\ud800", "\ud800", id="lone-surrogate"),
        pytest.param("Ω😀", "Ω😀", id="not-ascii"),
        pytest.param([1, "a", None], [1, "a", None], id="list"),
        pytest.param((1, 2), [1, 2], id="tuple"),
        pytest.param({"a": {"b": [1]}}, {"a": {"b": [1]}}, id="nested"),
        pytest.param({1: 2, None: 3}, {"1": 2, "None": 3}, id="keys-that-are-no-text"),
        pytest.param(Hostile(), "[unprintable Hostile]", id="str-raises"),
        pytest.param([[[["deep"]]]], [[["['deep']"]]], id="too-deep"),
        pytest.param(list(range(100)), list(range(32)), id="too-many"),
        pytest.param("x" * 3000, "x" * 2048 + "... (3000 characters)", id="too-long"),
        pytest.param(ValueError("no"), "no", id="exception"),
    ],
)
def test_values(value, written):
    assert entry(record(fields={"value": value}))["value"] == written


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("plain", "plain"),
        ("@level", "_@level"),
        ("@message", "_@message"),
        ("@timestamp", "_@timestamp"),
        ("timestamp", "_timestamp"),
        (5, "5"),
        (None, "None"),
        ("k" * 70, "k" * 64 + "... (70 characters)"),
    ],
)
def test_keys_never_replace_what_hosts_rely_on(key, written):
    decoded = entry(record(fields={key: 1}, level=logging.INFO))
    assert decoded["@level"] == "info"
    assert decoded["@message"] == "hello"
    assert decoded[written] == 1


@pytest.mark.parametrize(
    ("message", "arguments", "written"),
    [
        pytest.param(42, (), "42", id="int"),
        pytest.param(None, (), "None", id="none"),
        pytest.param("%d", ("x",), "%d", id="arguments-do-not-fit"),
        pytest.param("%s", (Hostile(),), "%s", id="argument-raises"),
        pytest.param(Hostile(), (), "[unprintable Hostile]", id="message-raises"),
        pytest.param("a\nb", (), "a\nb", id="newline"),
        pytest.param("\udfff", (), "\udfff", id="lone-surrogate"),
        pytest.param("m" * 9000, (), "m" * 8192 + "... (9000 characters)", id="too-long"),
    ],
)
def test_messages(message, arguments, written):
    assert entry(record(message, *arguments))["@message"] == written


@pytest.mark.parametrize("fields", ["text", 3, [("a", 1)], None], ids=repr)
def test_fields_that_are_no_dict_are_left_out(fields):
    assert set(entry(record(fields=fields))) == {"@level", "@message", "@module", "@timestamp"}


def test_a_line_is_cut_whatever_it_is_made_of():
    fields = {f"k{i}": "😀" * 10_000 for i in range(100)}
    decoded = entry(record("😀" * 100_000, fields=fields))
    assert decoded["@message"].startswith("😀" * 1024)
    assert len(decoded) == 4 + 32


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(JWT, id="jws"),
        pytest.param(JWT.rsplit(".", 1)[0] + ".", id="unsigned"),
        pytest.param(JWT.rsplit(".", 1)[0], id="cut-off"),
        pytest.param(f"Bearer {JWT}", id="in-a-text"),
        pytest.param(f"https://host/cb?id_token={JWT}&x=1", id="in-a-url"),
        pytest.param(
            "eyJhbGciOiJkaXIifQ..QjYhZ2F5dGhpcw.c2VjcmV0c2VjcmV0.c2VjcmV0c2VjcmV0", id="jwe"
        ),
        pytest.param("eyAiYWxnIiA6ICJFUzI1NiIgfQ.eyJzdWIiOiJ4In0.c2lnbmF0dXJl", id="spaces"),
        pytest.param(
            "bm90anNvbmF0YWxs.eHh4eHh4eHh4eHh4eHh4eA.k6UEfXNBZTIvQ2c4Tn0LS9Ge98rAfVqvKmmoVZ3Z5p",
            id="no-json-inside",
        ),
        pytest.param(PEM, id="pem"),
        pytest.param(PEM[:50], id="pem-cut-off"),
        pytest.param(f"key: {PEM.replace(chr(10), chr(92) + 'n')}", id="pem-escaped"),
        pytest.param("hvs.CAESIJ1Gm8sBaGIXwOWk0eRcmyb4LAB7", id="vault-token"),
        pytest.param("s.bQ5u2Wf0R9xYcGk1LJq7pT3z", id="openbao-token"),
    ],
)
def test_secrets_never_leave(secret):
    tell = max(re.split(r"[^A-Za-z0-9_]", secret), key=len)
    assert len(tell) >= 8
    try:
        raise ValueError(secret)
    except ValueError:
        trace = sys.exc_info()
    for made in (
        record(secret),
        record("denied: %s", secret),
        record(fields={"value": secret}),
        record(fields={"value": [{"deep": secret}]}),
        record(fields={"value": {secret: 1}}),
        record(fields={secret: 1}),
        record(exc_info=trace),
        record(name=secret),
        record("x" * 32_000 + secret),
    ):
        assert tell not in json.dumps(entry(made))


@pytest.mark.parametrize(
    "name",
    ["jwt", "JWT", "token", "client_token", "oidc_client_secret", "password", "nonce", "id_token"],
)
def test_values_of_secret_names_never_leave(name):
    assert entry(record(fields={name: "short"}))[name] == "[redacted]"
    assert entry(record(fields={"data": {name: "short"}}))["data"] == {name: "[redacted]"}


@pytest.mark.parametrize(
    "text",
    [
        "https://kubernetes.default.svc/openid/v1/jwks",
        "organisation-name.enterprise-services.internal-company-network.example",
        "v1.21.4",
        "claims.identity.role_name",
        "10.255.255.255:8200",
        "vault_jwt_plugin.goplugin.process",
        "cannot write to readonly storage",
        "code=signature_invalid",
    ],
)
def test_ordinary_texts_are_left_alone(text):
    decoded = entry(record(text, fields={"value": text, "code": "audience_mismatch"}, name=text))
    assert decoded["@message"] == text
    assert decoded["value"] == text
    assert decoded["code"] == "audience_mismatch"
    assert decoded["@module"] == text


@pytest.mark.parametrize("unit", ["x", "x.", "-----BEGIN A-----", "eyJ", ".", "s."])
def test_looking_for_secrets_takes_linear_time(unit):
    text = unit * 200_000
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 1


def test_a_traceback_is_one_bounded_key():
    def deep(n):
        return deep(n - 1) if n else 1 / 0

    try:
        deep(900)
    except ZeroDivisionError:
        made = record("it broke", exc_info=sys.exc_info())
    text = entry(made)["traceback"]
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert len(text) <= 16_384 + 3


def test_a_huge_exception_text_is_bounded():
    try:
        raise ValueError("y" * 10_000_000)
    except ValueError:
        made = record(exc_info=sys.exc_info())
    assert len(entry(made)["traceback"]) <= 16_384 + 3


def test_a_record_that_cannot_be_formatted_is_reported():
    made = record()
    made.created = float("nan")
    assert entry(made)["@message"] == "a log record could not be formatted"


def test_a_failed_import_while_formatting_a_record_ends_nothing(monkeypatch):
    monkeypatch.setattr(hclog, "format_record", lambda _: sys.exit("moved or deleted"))
    made = entry(record())
    assert made["@message"] == "a log record could not be formatted"
    assert made["error_type"] == "SystemExit"


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    yield reader, writer
    os.close(writer)
    with contextlib.suppress(OSError):
        os.close(reader)


def read_lines(reader, count):
    data = b""
    while data.count(b"\n") < count:
        data += os.read(reader, 65536)
    return data.splitlines(keepends=True)


def test_a_slow_reader_gets_every_line_whole(pipe):
    reader, writer = pipe
    sink = PipeSink(writer)
    lines = [b"%05d %s\n" % (i, b"x" * (i % 300 * 100)) for i in range(60)]
    started = time.monotonic()
    for line in lines:
        sink.write(line)
    assert time.monotonic() - started < 1
    assert read_lines(reader, len(lines)) == lines
    assert sink.flush(5)


def test_a_stuck_reader_costs_lines_not_time(pipe):
    reader, writer = pipe
    sink = PipeSink(writer, hclog.dropped_line)
    line = b"z" * 9_999 + b"\n"
    started = time.monotonic()
    for _ in range(1_000):
        sink.write(line)
    assert time.monotonic() - started < 1
    assert not sink.flush(0)
    data = b""
    while b"were dropped" not in data:
        data += os.read(reader, 65536)
    *kept, note = data.splitlines(keepends=True)
    assert set(kept) == {line}
    decoded = json.loads(note)
    assert decoded["@message"] == "log lines were dropped: the host did not read them"
    assert decoded["lines"] + len(kept) == 1_000
    assert sink.flush(5)
    sink.write(b"after\n")
    assert os.read(reader, 100) == b"after\n"


def test_a_reader_that_is_gone_is_no_error(pipe):
    reader, writer = pipe
    sink = PipeSink(writer)
    os.close(reader)
    sink.write(b"one\n")
    sink.write(b"two\n")
    assert sink.flush(0)


def test_a_reader_that_goes_while_lines_wait_is_no_error(pipe):
    reader, writer = pipe
    sink = PipeSink(writer)
    for _ in range(20):
        sink.write(b"z" * 9_999 + b"\n")
    assert not sink.flush(0)
    os.close(reader)
    assert sink.flush(5)
    sink.write(b"more\n")


def test_the_mode_of_a_shared_pipe_is_left_alone():
    reader, writer = os.pipe()
    try:
        PipeSink.on(writer).write(b"x\n")
        assert os.get_blocking(writer)
        assert os.read(reader, 10) == b"x\n"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_file_is_written_as_it_is(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        PipeSink.on(file.fileno()).write(b"x\n")
    assert (tmp_path / "log").read_bytes() == b"x\n"
