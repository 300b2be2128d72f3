"""h2spec against our server: every case passes, or is in the table below with its reason.

The tool is built from `tests/hosts/h2spec`. The test looks for it in H2SPEC_BIN, on PATH, and where
`tests.hosts.tools` builds it.
"""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.hosts import tools

ROOT = Path(__file__).resolve().parents[2]

# h2spec 2.2.1 has 145 cases in its three suites (generic, http2, hpack).
CASES = 145

# Case (as "package: description") -> why gRPC never needs it. None is left out.
NOT_NEEDED: dict[str, str] = {}


def h2spec():
    """Return the binary, or skip and say how to get it."""
    if named := os.environ.get("H2SPEC_BIN"):
        return named
    if found := shutil.which("h2spec"):
        return found
    built = tools.path("h2spec")
    if built.exists():
        return str(built)
    reason = (
        "h2spec NOT RUN: no binary in H2SPEC_BIN, on PATH or in the cache; "
        "scripts/test --hosts all builds it, or: cd tests/hosts/h2spec && "
        f"go build -o {built} github.com/summerwind/h2spec/cmd/h2spec"
    )
    pytest.skip(reason)


@pytest.fixture
def port():
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.h2_server", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield int(process.stdout.readline().rsplit(":", 1)[1])
        process.kill()


@pytest.mark.conformance
def test_every_case_passes(port, tmp_path):
    report = tmp_path / "report.xml"
    command = [h2spec(), "-h", "127.0.0.1", "-p", str(port), "-o", "5", "-j", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    cases = {}
    for suite in ET.parse(report).iter("testsuite"):
        for case in suite.iter("testcase"):
            name = f"{case.get('package')}: {case.get('classname')}"
            bad = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
            cases[name] = bad[0] if bad else "passed"
    wrong = {name: what for name, what in cases.items() if what != "passed"}
    assert wrong.keys() == NOT_NEEDED.keys(), done.stdout[-5000:]
    assert f"{CASES} tests, {CASES - len(NOT_NEEDED)} passed" in done.stdout
