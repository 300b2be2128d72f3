"""Find what the one file contains: distributions, the interpreter, the machine's libraries.

build/sbom.py and build/licenses.py read it, inside the build's environment. It uses only the
standard library.
"""

from __future__ import annotations

import json
import platform
import re
import ssl
import subprocess
import zlib
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
RUNTIME_LOCK = REPO / "requirements" / "runtime.txt"
BUILD_LOCK = REPO / "requirements" / "build.txt"

LAUNCHERS = ("pyinstaller", "staticx")
"""The build's distributions whose own start programs go into the file."""

_PROJECTS = {
    "ld-linux": "glibc",
    "libBrokenLocale": "glibc",
    "libanl": "glibc",
    "libc": "glibc",
    "libcrypt": "libxcrypt",
    "libcrypto": "openssl",
    "libdl": "glibc",
    "libffi": "libffi",
    "libgcc_s": "gcc",
    "libm": "glibc",
    "libmvec": "glibc",
    "libnsl": "glibc",
    "libnss_dns": "glibc",
    "libnss_files": "glibc",
    "libpthread": "glibc",
    "libpython3": "cpython",
    "libresolv": "glibc",
    "librt": "glibc",
    "libssl": "openssl",
    "libstdc++": "gcc",
    "libutil": "glibc",
    "libuuid": "util-linux",
    "libz": "zlib",
}
"""The project by the name of its library, up to `.so` and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One line of a lock file.

    Attributes:
        name: the distribution's name, normalised.
        version: the exact version.
        marker: where it is needed (PEP 508); empty means everywhere.
        sha256: of every file that may be installed for it, hexadecimal, in the lock's order.
    """

    name: str
    version: str
    marker: str
    sha256: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A C library of the build machine, as it is in the file.

    Attributes:
        name: the file's name.
        sha256: of the stripped file, hexadecimal.
        source: the library's path on the machine; None if unknown.
    """

    name: str
    sha256: str
    source: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The machine's package that a library comes from (Debian and its relatives).

    Attributes:
        name, version, architecture: as the package manager gives them.
    """

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One upstream project's libraries.

    Attributes:
        name: the project's name, or the file's if nothing else is known.
        version: upstream's; empty if unknown.
        packages: the packages that contain them; empty if no package manager knows them.
        libraries: sorted by name.
    """

    name: str
    version: str
    packages: tuple[Package, ...] = ()
    libraries: tuple[Library, ...] = field(default=())


class LockError(ValueError):
    """A lock file that scripts/lock would not write; the text says where."""


def normalised(name: str) -> str:
    """Return a distribution's name in the form that indexes use (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(text: str) -> list[Locked]:
    """Read a lock file.

    Raises:
        LockError: a line is not `name==version` with SHA-256 hashes.
    """
    found = []
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement, *hashes = line.split("--hash=")
        pin, _, marker = requirement.partition(";")
        name, separator, version = pin.strip().partition("==")
        sha256 = tuple(each.strip().removeprefix("sha256:") for each in hashes)
        if not (separator and name and version and sha256) or not all(
            re.fullmatch(r"[0-9a-f]{64}", each) for each in sha256
        ):
            raise LockError(f"not a locked requirement: {requirement.strip()}")
        found.append(
            Locked(name=normalised(name), version=version, marker=marker.strip(), sha256=sha256)
        )
    return found


def distributions() -> list[Locked]:
    """List the locked distributions in the file: the run-time dependencies, then the launchers."""
    runtime = read_lock(RUNTIME_LOCK.read_text(encoding="utf-8"))
    build = read_lock(BUILD_LOCK.read_text(encoding="utf-8"))
    return runtime + [each for each in build if each.name in LAUNCHERS]


def installed(locked: Locked) -> metadata.Distribution | None:
    """Return the distribution in this environment; None if its marker left it out.

    Raises:
        LockError: another version is installed.
    """
    try:
        found = metadata.distribution(locked.name)
    except metadata.PackageNotFoundError:
        return None
    if found.version != locked.version:
        raise LockError(f"{locked.name} is {found.version}, locked is {locked.version}")
    return found


def licence_name(found: metadata.Distribution) -> tuple[str, bool]:
    """Return a distribution's licence, and whether that is an SPDX expression."""
    expression = found.metadata["License-Expression"]
    if expression:
        return expression, True
    lines = (found.metadata["License"] or "").strip().splitlines()
    if len(lines) == 1:
        return lines[0].strip(), False
    classifiers = found.metadata.get_all("Classifier") or ()
    named = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License ::")]
    return ", ".join(named) or "see its text", False


def wheel_contents(found: metadata.Distribution) -> list[dict[str, object]]:
    """Return what a distribution's own bills of materials list (PEP 770, CycloneDX), by name."""
    listed = []
    for file in found.files or ():
        if ".dist-info/sboms/" in str(file) and file.suffix == ".json":
            document = json.loads(file.read_text(encoding="utf-8"))
            if document.get("bomFormat") == "CycloneDX":
                listed += document.get("components", [])
    return sorted(listed, key=lambda each: (str(each["name"]), str(each.get("version", ""))))


def read_libraries(manifest: Path, sources: Path) -> list[Library]:
    """List the machine's libraries in the file.

    Args:
        manifest: what build/onefile.py wrote.
        sources: what the PyInstaller specification wrote: path on this machine by name.
    """
    by_name = json.loads(sources.read_text(encoding="utf-8"))
    found = []
    for each in json.loads(manifest.read_text(encoding="utf-8")):
        source = each["source"] or by_name.get(each["name"])
        found.append(
            Library(
                name=each["name"],
                sha256=each["sha256"],
                source=None if source is None else Path(source),
            )
        )
    return found


def projects(libraries: list[Library]) -> list[Project]:
    """Group the libraries by upstream project, with versions where they are known."""
    versions = {
        "cpython": platform.python_version(),
        "glibc": platform.libc_ver()[1],
        "openssl": ssl.OPENSSL_VERSION.split()[1],
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
    grouped: dict[str, list[Library]] = {}
    for library in libraries:
        stem = re.split(r"[-.](?:so|[0-9])", library.name, maxsplit=1)[0]
        stem = "ld-linux" if library.name.startswith("ld-linux") else stem
        grouped.setdefault(_PROJECTS.get(stem, library.name), []).append(library)
    return [
        Project(
            name=name,
            version=versions.get(name, ""),
            packages=_packages(members),
            libraries=tuple(sorted(members, key=lambda each: each.name)),
        )
        for name, members in sorted(grouped.items())
    ]


def _packages(libraries: list[Library]) -> tuple[Package, ...]:
    found = {package_of(each.source) for each in libraries if each.source is not None}
    return tuple(sorted((each for each in found if each), key=lambda each: each.name))


def package_of(file: Path) -> Package | None:
    """Return the Debian package that a file comes from; None if there is none, or no dpkg."""
    resolved = file.resolve()
    candidates = {file, resolved}
    # If /lib is a link to /usr/lib, packages know a file by one path or the other.
    for path in (file, resolved):
        text = str(path)
        candidates.add(
            Path(text.removeprefix("/usr") if text.startswith("/usr/") else f"/usr{text}")
        )
    for path in sorted(candidates):
        owner = _dpkg("-S", str(path)).partition(": ")[0]
        if owner:
            fields = _dpkg("-W", "-f", "${Package} ${Version} ${Architecture}", owner).split()
            if len(fields) == 3:
                return Package(name=fields[0], version=fields[1], architecture=fields[2])
    return None


def _dpkg(*arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["dpkg-query", *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
