"""The library is loaded, and unpacked, at the first use of CEL and never before."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vault_jwt_plugin.jwt_auth.cel import library
from vault_jwt_plugin.jwt_auth.cel.library import LIBRARY, PACKED, CELUnavailableError

PREAMBLE = """
import asyncio, json, sys
from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import CLAIMS, Mounted
from vault_jwt_plugin.host.messages import AuthMessages
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.sdk import Operation

def loaded():
    return sorted(name for name in sys.modules if "cel_expr" in name or "._cel_c" in name)

class WithCEL(Mounted):
    def __init__(self):
        super().__init__()
        self.backend = JWTBackend(self.context, fetcher=self.fetcher,
                                  monotonic=lambda: self.now, messages=AuthMessages())

async def main():
    found = {}
    async with WithCEL() as mounted:
        await mounted.configure()
        await mounted.login()
        await mounted.ask(Operation.LIST, "cel/role/")
        await mounted.ask(Operation.READ, "cel/role/none")
        try:
            await mounted.ask(Operation.UPDATE, "cel/login",
                              {"role": "none", "jwt": tokens.token(CLAIMS)})
        except Exception as error:
            found["unknown"] = error.code
        found["before"] = loaded()
        program = {"cel_program": {"expression": "pb.Auth{display_name: claims.sub}"}}
        await mounted.ask(Operation.UPDATE, "cel/role/demo", program)
        found["after"] = loaded()
        answer = await mounted.ask(Operation.UPDATE, "cel/login",
                                   {"role": "demo", "jwt": tokens.token(CLAIMS)})
        found["granted"] = answer.auth.display_name == CLAIMS["sub"]
        found["file"] = sys.modules["cel_expr_python.cel"].__file__
    print(json.dumps(found))

"""


def in_a_process(before=""):
    code = f"{PREAMBLE}\n{before}\nasyncio.run(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def installed():
    spec = importlib.util.find_spec(library.MODULE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def test_nothing_is_loaded_before_a_program_is_written():
    found = in_a_process()
    assert found["unknown"] == "role_unknown"
    assert found["before"] == []
    assert "cel_expr_python.cel" in found["after"]
    assert found["granted"]
    assert found["file"] == str(installed())


@pytest.fixture
def packed(tmp_path):
    (tmp_path / PACKED).write_bytes(gzip.compress(installed().read_bytes(), compresslevel=1))
    return tmp_path


def test_a_packed_library_is_unpacked_beside_itself_and_loaded(packed):
    found = in_a_process(f"sys._MEIPASS = {str(packed)!r}\nsys.modules['cel_expr_python'] = None")
    assert found["before"] == ["cel_expr_python"]
    assert found["granted"]
    assert found["file"] == str(packed / LIBRARY)
    assert (packed / LIBRARY).stat().st_mode & 0o777 == 0o500
    assert {path.name for path in packed.iterdir()} == {PACKED, LIBRARY}


def test_what_is_there_unpacked_is_not_unpacked_again(packed):
    (packed / LIBRARY).write_bytes(installed().read_bytes())
    (packed / PACKED).write_bytes(b"no gzip")
    found = in_a_process(f"sys._MEIPASS = {str(packed)!r}\nsys.modules['cel_expr_python'] = None")
    assert found["granted"]


def test_a_frozen_program_without_the_packed_file_imports_as_usual(tmp_path):
    found = in_a_process(f"sys._MEIPASS = {str(tmp_path)!r}")
    assert found["file"] == str(installed())


@pytest.fixture
def unloaded(monkeypatch):
    monkeypatch.setattr(library, "_loaded", None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"no library"),
        gzip.compress(b"no library")[:-9],
        gzip.compress(b"no library")[:10] + b"\xff" * 20,
    ],
    ids=["empty", "no gzip", "no library", "cut", "damaged"],
)
def test_a_packed_library_that_is_broken(packed, unloaded, monkeypatch, content):
    (packed / PACKED).write_bytes(content)
    monkeypatch.setattr(sys, "_MEIPASS", str(packed), raising=False)
    with pytest.raises(CELUnavailableError) as caught:
        asyncio.run(library.load_beside())
    assert caught.value.code == "cel_unavailable"
    assert caught.value.message.startswith(
        "CEL roles need the library cel-expr-python, which can't be loaded: "
    )
    assert not library.is_loaded()
    assert [path.name for path in packed.iterdir() if path.name.startswith(".")] == []


def test_without_the_library(unloaded, monkeypatch):
    monkeypatch.setitem(sys.modules, library.MODULE, None)
    with pytest.raises(CELUnavailableError):
        library.load()


def test_it_is_loaded_once(unloaded, monkeypatch):
    loads = []

    def load(name):
        loads.append(name)
        return sys

    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.cel.library.importlib.import_module", load)

    async def main():
        await asyncio.gather(*(library.load_beside() for _ in range(5)))
        return library.load()

    assert asyncio.run(main()) is sys
    assert loads == [library.MODULE]
