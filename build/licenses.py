"""Write the licence texts of everything in the one file that is not ours.

usage: licenses.py MANIFEST SOURCES OUTPUT

The texts come from the metadata of the installed distributions, Python's own licence, and the
packages of the build machine's libraries. Whatever has no text there is listed with what is known
about it. The same file on the same machine gives the same text.
"""

from __future__ import annotations

import platform
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import contents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

DOCUMENTATION = Path("/usr/share/doc")
"""The folder where Debian and its relatives keep each package's copyright file."""

_HEAD = """\
vault-jwt-plugin {version}: licences of the software that the file holds beside its own

"""
_NO_TEXT = "(It came without the text of its licence.)"
_RULE = "=" * 80


def licence_files(found: Distribution) -> Iterator[tuple[str, str]]:
    """Yield name and text of each licence file of a distribution."""
    for file in sorted(found.files or (), key=str):
        parts = file.parts
        if len(parts) < 2 or not parts[0].endswith(".dist-info"):
            continue
        stem = file.name.upper()
        if parts[1] == "licenses" or stem.startswith(("LICEN", "COPYING", "NOTICE")):
            yield file.name, file.read_text(encoding="utf-8")


def of_distribution(locked: contents.Locked, found: Distribution) -> str:
    """Return one distribution's section."""
    texts = [f"[{name}]\n\n{text.strip()}" for name, text in licence_files(found)]
    inside = [
        f"  {each['name']} {each.get('version', '')}{_named(each)}"
        for each in contents.wheel_contents(found)
    ]
    if inside:
        texts.insert(0, "Compiled into it, by its own bill of materials:\n" + "\n".join(inside))
    licence, _ = contents.licence_name(found)
    return _section(f"{locked.name} {locked.version}", licence, texts)


def _named(component: dict[str, object]) -> str:
    licences = component.get("licenses")
    if not isinstance(licences, list):
        return ""
    names = [
        each.get("expression") or each["license"].get("id") or each["license"].get("name", "")
        for each in licences
    ]
    return f": {', '.join(names)}"


def of_python() -> str:
    """Return the interpreter's section."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    candidates = (
        Path(sysconfig.get_path("stdlib"), "LICENSE.txt"),
        DOCUMENTATION / f"python{version}" / "copyright",
        DOCUMENTATION / f"libpython{version}-stdlib" / "copyright",
    )
    texts = [each.read_text(encoding="utf-8").strip() for each in candidates if each.is_file()]
    return _section(f"Python {platform.python_version()}", "PSF-2.0", texts[:1])


def of_project(project: contents.Project) -> str:
    """Return the section of one C project's libraries."""
    files = [DOCUMENTATION / each.name / "copyright" for each in project.packages]
    texts = [
        each.read_text(encoding="utf-8", errors="replace").strip()
        for each in files
        if each.is_file()
    ]
    names = ", ".join(each.name for each in project.libraries)
    packages = ", ".join(f"{each.name} {each.version}" for each in project.packages)
    origin = f"from {packages}" if packages else "of the build machine"
    # Several packages of one source have the same text.
    unique = list(dict.fromkeys(texts))
    return _section(f"{project.name} {project.version}".strip(), f"{names}, {origin}", unique)


def _section(title: str, note: str, texts: list[str]) -> str:
    body = "\n\n".join(texts) or _NO_TEXT
    return f"{_RULE}\n{title}\n{note}\n{_RULE}\n\n{body}\n"


def document(version: str, libraries: list[contents.Library]) -> str:
    """Return the whole text."""
    sections = [
        of_distribution(locked, found)
        for locked in contents.distributions()
        if (found := contents.installed(locked)) is not None
    ]
    sections.append(of_python())
    sections += [
        of_project(each) for each in contents.projects(libraries) if each.name != "cpython"
    ]
    return _HEAD.format(version=f"v{version}") + "\n".join(sections)


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) != 4:
        sys.stderr.write(__doc__ or "")
        return 2
    manifest, sources, output = map(Path, sys.argv[1:])
    sys.path.insert(0, str(contents.REPO))
    from vault_jwt_plugin._version import VERSION

    libraries = contents.read_libraries(manifest, sources)
    output.write_text(document(VERSION, libraries), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
