"""Options, the hosts that tests run on, and the closing line that says which ones did."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.hosts import issuer
from tests.hosts import plugin as plugins
from tests.hosts.discover import Absent, Host, find_hosts
from tests.hosts.server import DevServer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

FAMILIES = ("bao", "vault")

_HOST_PROPERTY = "host"
"""The user property of a test's reports that names its host: it survives the way from a worker."""

_ran: Counter[str] = Counter()
"""How many tests ran on each host; the report hook is not given the config."""


@functools.cache
def hosts() -> tuple[tuple[Host, ...], tuple[Absent, ...]]:
    """The hosts of this machine, and those that are missing."""
    found = find_hosts()
    return (
        tuple(host for host in found if isinstance(host, Host)),
        tuple(host for host in found if isinstance(host, Absent)),
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hosts")
    group.addoption(
        "--plugin",
        default="auto",
        metavar="KIND",
        help="binary (build/out), source (this checkout, by a wrapper), builtin (the host's own "
        "method in our place, to test the suite), PATH=VERSION; default: binary if it is built",
    )
    group.addoption(
        "--only-host", default="", metavar="FAMILY", help="run host tests on bao or vault alone"
    )
    group.addoption(
        "--require-hosts",
        default="",
        metavar="FAMILIES",
        help="comma list (bao, vault): stop when one is missing instead of leaving it out",
    )
    parser.getgroup("faults").addoption(
        "--full-faults",
        action="store_true",
        help="tests of faults at every moment that they know of, not at some",
    )


def pytest_configure(config: pytest.Config) -> None:
    _ran.clear()
    required = set(filter(None, config.getoption("--require-hosts").split(",")))
    if required:
        present, absent = hosts()
        if missing := required - {host.family for host in present}:
            reasons = "; ".join(f"{host.name}: {host.reason}" for host in absent)
            raise pytest.UsageError(f"required hosts are missing: {sorted(missing)} ({reasons})")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" not in metafunc.fixturenames:
        return
    only = metafunc.config.getoption("--only-host")
    present = [host for host in hosts()[0] if only in {"", host.family}]
    metafunc.parametrize("host", present, ids=lambda host: host.name, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        host = parameters.get("host")
        if isinstance(host, Host):
            item.add_marker(pytest.mark.hosts)
            item.user_properties.append((_HOST_PROPERTY, host.name))
            # With --dist loadgroup a worker runs a folder's tests on a host one after the other,
            # on a server of its own.
            item.add_marker(pytest.mark.xdist_group(f"{host.name}-{item.path.parent.name}"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name = dict(report.user_properties).get(_HOST_PROPERTY)
    if isinstance(name, str) and report.when == "call" and report.outcome != "skipped":
        _ran[name] += 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None]:
    # Outermost, so that these lines come after every other summary: only pytest's own closing line
    # follows them.
    yield
    present, absent = hosts()
    if _ran and not config.getoption("--only-host"):
        for family in missing_families(present, _ran):
            terminalreporter.write_line(f"!!! NO TEST RAN ON {family.upper()}", red=True, bold=True)
    kind = plugins.choose(config.getoption("--plugin")).kind
    terminalreporter.write_line(hosts_line(present, absent, _ran, kind))


def missing_families(present: Iterable[Host], ran: Mapping[str, int]) -> list[str]:
    """Return the servers, bao or vault, that no test ran on."""
    tested = {host.family for host in present if ran.get(host.name)}
    return [family for family in FAMILIES if family not in tested]


def hosts_line(
    present: Iterable[Host], absent: Iterable[Absent], ran: Mapping[str, int], kind: str
) -> str:
    """Return the line that says how many tests ran on which host, and why others did not."""
    parts = [f"{name} ran {count} tests" for name, count in sorted(ran.items())]
    if parts:
        parts[-1] += f" (plugin: {kind})"
    parts += [f"{host.name} ran none" for host in present if host.name not in ran]
    parts += [f"{host.name} skipped: {host.reason}" for host in absent]
    return "hosts: " + "; ".join(parts)


@pytest.fixture(scope="session")
def plugin(request: pytest.FixtureRequest) -> plugins.Plugin:
    """The plugin under test, as --plugin says."""
    return plugins.choose(request.config.getoption("--plugin"))


@pytest.fixture(scope="session")
def issuers() -> Iterator[issuer.Issuers]:
    """Issuers on the loopback, right and wrong ones."""
    with issuer.issuers() as serving:
        yield serving


@pytest.fixture(scope="session")
def server(host: Host, plugin: plugins.Plugin) -> Iterator[DevServer]:
    """The host with ours registered as `jwt`, and one mount of ours that keeps its process.

    Hosts end a plugin's process with its last mount: without this one every test would wait for
    a new start.
    """
    with DevServer(host) as running:
        plugins.register(running, plugin)
        builtin = plugin.kind == "builtin"
        version = plugins.builtin_version(running) if builtin else plugin.version
        plugins.enable(running, "keeper", version=version)
        yield running
