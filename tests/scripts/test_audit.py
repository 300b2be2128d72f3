"""What the script makes of pip-audit's answers: an unchecked run never looks like success."""

import json
import subprocess

import pytest

from tests.scripts.loading import load

audit = load("scripts/audit")

FINE = {"name": "hpack", "version": "4.2.0", "vulns": []}
BAD = {
    "name": "requests",
    "version": "2.0.0",
    "vulns": [
        {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.31.0"], "description": ""},
        {"id": "PYSEC-2", "aliases": [], "fix_versions": [], "description": ""},
    ],
}
UNKNOWN = {"name": "cffi", "skip_reason": "Dependency not found on PyPI"}


def report(*dependencies):
    return audit.read({"dependencies": list(dependencies), "fixes": []})


@pytest.mark.parametrize(
    ("dependencies", "required", "status", "printed"),
    [
        ([FINE], False, 0, ["scripts/audit: 1 distributions checked, 0 known vulnerabilities"]),
        (
            [FINE, BAD],
            False,
            1,
            [
                "scripts/audit: VULNERABLE: requests 2.0.0: PYSEC-1, CVE-1; fixed in 2.31.0",
                "scripts/audit: VULNERABLE: requests 2.0.0: PYSEC-2; fixed in no version yet",
                "scripts/audit: 2 distributions checked, 2 known vulnerabilities",
            ],
        ),
        (
            [FINE, UNKNOWN],
            False,
            0,
            [
                "scripts/audit: NOT CHECKED: cffi",
                "scripts/audit: 1 distributions checked, 0 known vulnerabilities",
            ],
        ),
        (
            [FINE, UNKNOWN],
            True,
            1,
            [
                "scripts/audit: NOT CHECKED: cffi",
                "scripts/audit: 1 distributions checked, 0 known vulnerabilities",
            ],
        ),
    ],
    ids=["fine", "vulnerable", "partly known", "partly known, all required"],
)
def test_conclusions(dependencies, required, status, printed, capsys):
    assert audit.conclude(report(*dependencies), [], required=required) == status
    assert capsys.readouterr().out.splitlines() == printed


@pytest.mark.parametrize(("required", "status"), [(False, 0), (True, 1)])
def test_no_answer_is_said_loudly(required, status, capsys):
    assert audit.conclude(None, ["pypi: down", "osv: down"], required=required) == status
    assert capsys.readouterr().out == (
        "scripts/audit: SKIPPED, nothing was checked: pypi: down; osv: down\n"
    )


@pytest.fixture
def pip_audit(monkeypatch, tmp_path):
    """Make pip-audit write a document and print `said`."""

    def answers(document, said="", status=0):
        def run(command):
            if document is not None:
                output = command[command.index("--output") + 1]
                output.write_text(document)
            return subprocess.CompletedProcess(command, status, "", said)

        monkeypatch.setattr(audit, "run", run)
        return tmp_path / "report.json"

    return answers


def ask(output):
    return audit.ask("pip-audit", "pypi", output)


def test_an_answer(pip_audit):
    output = pip_audit(json.dumps({"dependencies": [FINE, UNKNOWN]}))
    assert ask(output) == audit.Report(asked=["hpack"], unknown=["cffi"], found=[])


def test_findings_end_it_with_1_and_are_an_answer(pip_audit):
    output = pip_audit(json.dumps({"dependencies": [BAD]}), status=1)
    assert len(ask(output).found) == 2


@pytest.mark.parametrize(
    ("document", "said", "reason"),
    [
        (None, "Traceback\nConnectionError: no route\n", "pypi: ConnectionError: no route"),
        (None, "", "pypi: ended with 1"),
        ("{", "cut off", "pypi: cut off"),
        (
            json.dumps({"dependencies": [UNKNOWN]}),
            "No known vulnerabilities found",
            "pypi: it knows none of the distributions",
        ),
    ],
    ids=["no connection", "silence", "no JSON", "a mirror without the data"],
)
def test_no_answer(pip_audit, document, said, reason):
    output = pip_audit(document, said, status=1)
    with pytest.raises(audit.UnavailableError) as caught:
        ask(output)
    assert str(caught.value) == reason


def test_the_report_of_another_database_is_not_taken_for_this_one_s(pip_audit):
    output = pip_audit(None, "down", status=1)
    output.write_text(json.dumps({"dependencies": [FINE]}))
    with pytest.raises(audit.UnavailableError):
        ask(output)


def test_a_command_that_hangs(monkeypatch):
    monkeypatch.setattr(audit, "LONGEST_S", 0.05)
    with pytest.raises(audit.UnavailableError, match=r"no answer within 0\.05 s"):
        audit.run(["sleep", "10"])
