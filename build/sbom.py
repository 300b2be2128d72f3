"""Write the bill of materials: what is in the one file, for those who must know.

usage: sbom.py BINARY MANIFEST SOURCES OUTPUT

CycloneDX 1.6 JSON (ECMA-424). The same file gives the same bill: no time, and a serial number made
from its contents.

A distribution's hashes are those of its lock file: of every file that may be installed for it, of
which the build took one. A library's are those of the file as it lies in the binary, stripped.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import contents

if TYPE_CHECKING:
    from importlib.metadata import Distribution

NAME = "vault-jwt-plugin"
SPEC_VERSION = "1.6"

_NAMESPACE = uuid.UUID("5f0dc1a8-8a5d-5f0e-9d0c-0b6a6f2c9a11")
_CPES = {
    "cpython": "cpe:2.3:a:python:python:{}:*:*:*:*:*:*:*",
    "glibc": "cpe:2.3:a:gnu:glibc:{}:*:*:*:*:*:*:*",
    "openssl": "cpe:2.3:a:openssl:openssl:{}:*:*:*:*:*:*:*",
    "zlib": "cpe:2.3:a:zlib:zlib:{}:*:*:*:*:*:*:*",
}
"""What scanners find a C project's vulnerabilities by."""


def sha256(*digests: str) -> list[dict[str, str]]:
    """CycloneDX's form of SHA-256 digests."""
    return [{"alg": "SHA-256", "content": digest} for digest in digests]


def distribution(locked: contents.Locked, found: Distribution) -> dict[str, Any]:
    """One Python distribution, as locked and as installed."""
    purl = f"pkg:pypi/{quote(locked.name)}@{quote(locked.version)}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": locked.name,
        "version": locked.version,
        "purl": purl,
        "hashes": sha256(*locked.sha256),
    }
    if locked.name in contents.LAUNCHERS:
        component["description"] = "its start program is in the file"
    name, is_expression = contents.licence_name(found)
    component["licenses"] = (
        [{"expression": name}] if is_expression else [{"license": {"name": name}}]
    )
    inside = [part(purl, each) for each in contents.wheel_contents(found)]
    if inside:
        component["components"] = inside
    return component


def part(owner: str, listed: dict[str, Any]) -> dict[str, Any]:
    """One component that a wheel's own bill of materials lists, as far as it matters here."""
    version = str(listed.get("version", ""))
    component = {
        "type": "library",
        "bom-ref": f"{owner}#{listed['name']}@{version}",
        "name": listed["name"],
        "version": version,
        **{key: listed[key] for key in ("hashes", "licenses") if key in listed},
    }
    purl = listed.get("purl", "")
    # Some name a folder of the machine that built the wheel.
    if purl and "file:" not in purl:
        component["purl"] = purl
    if listed["name"] in _CPES:
        component["cpe"] = _CPES[listed["name"]].format(version)
    return component


def project(found: contents.Project) -> dict[str, Any]:
    """The libraries of one C project; CPython is one, whose standard library is there too."""
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": found.name,
        "name": found.name,
        "components": [
            {
                "type": "file",
                "bom-ref": f"{found.name}#{each.name}",
                "name": each.name,
                "hashes": sha256(each.sha256),
            }
            for each in found.libraries
        ],
    }
    if found.version:
        component["version"] = found.version
        if found.name in _CPES:
            component["cpe"] = _CPES[found.name].format(found.version)
        component["purl"] = f"pkg:generic/{found.name}@{found.version}"
    packages = [package_url(each) for each in found.packages]
    if len(packages) == 1:
        component["purl"] = packages[0]
        component.setdefault("version", found.packages[0].version)
    elif packages:
        component["properties"] = [
            {"name": "vault-jwt-plugin:package", "value": each} for each in packages
        ]
    return component


def package_url(package: contents.Package) -> str:
    """A Debian package's purl."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    distro = release.get("ID", "debian")
    version = quote(package.version, safe=".-~")
    where = f"{distro}-{release['VERSION_ID']}" if "VERSION_ID" in release else distro
    return (
        f"pkg:deb/{distro}/{quote(package.name, safe='.-')}@{version}"
        f"?arch={package.architecture}&distro={where}"
    )


def bill(*, version: str, digest: str, libraries: list[contents.Library]) -> dict[str, Any]:
    """The whole document.

    Args:
        version: of the plugin.
        digest: SHA-256 of the one file, hexadecimal.
        libraries: of the build machine, in the file.
    """
    components = [
        distribution(locked, found)
        for locked in contents.distributions()
        # Some are locked for other interpreters or machines than this build's.
        if (found := contents.installed(locked)) is not None
    ]
    components += map(project, contents.projects(libraries))
    main = f"pkg:generic/{NAME}@{version}"
    document: dict[str, Any] = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": main,
                "name": NAME,
                "version": version,
                "purl": main,
                "hashes": sha256(digest),
            }
        },
        "components": components,
        "dependencies": [
            {"ref": main, "dependsOn": [each["bom-ref"] for each in components]},
        ],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(document, sort_keys=True))
    return {**document, "serialNumber": f"urn:uuid:{serial}"}


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) != 5:
        sys.stderr.write(__doc__ or "")
        return 2
    binary, manifest, sources, output = map(Path, sys.argv[1:])
    sys.path.insert(0, str(contents.REPO))
    from vault_jwt_plugin._version import VERSION

    document = bill(
        version=VERSION,
        digest=hashlib.sha256(binary.read_bytes()).hexdigest(),
        libraries=contents.read_libraries(manifest, sources),
    )
    output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
