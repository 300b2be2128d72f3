"""Write the bill of materials: what is in the one file, for those who must know.

usage: sbom.py BINARY MANIFEST SOURCES OUTPUT

CycloneDX 1.6 JSON (ECMA-424). The same file gives the same bill: it has no time, and its serial
number is made from its contents.

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

import contents
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

if TYPE_CHECKING:
    from importlib.metadata import Distribution

NAME = "vault-jwt-plugin"

_NAMESPACE = uuid.UUID("5f0dc1a8-8a5d-5f0e-9d0c-0b6a6f2c9a11")
_CPES = {
    "cpython": "cpe:2.3:a:python:python:{}:*:*:*:*:*:*:*",
    "glibc": "cpe:2.3:a:gnu:glibc:{}:*:*:*:*:*:*:*",
    "openssl": "cpe:2.3:a:openssl:openssl:{}:*:*:*:*:*:*:*",
    "zlib": "cpe:2.3:a:zlib:zlib:{}:*:*:*:*:*:*:*",
}
"""What scanners find a C project's vulnerabilities by."""


class InvalidBillError(ValueError):
    """The bill does not fit CycloneDX's schema; the text says where."""


def cpe(name: str, version: str | None) -> str | None:
    """Return the CPE of a C project; None where it has none, or its version is not known."""
    return _CPES[name].format(version) if version and name in _CPES else None


def sha256(*digests: str) -> list[HashType]:
    """Return SHA-256 digests, hexadecimal, as CycloneDX has them."""
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in digests]


def distribution(locked: contents.Locked, found: Distribution) -> Component:
    """Return one Python distribution, as locked and as installed."""
    purl = PackageURL("pypi", name=locked.name, version=locked.version)
    name, is_expression = contents.licence_name(found)
    return Component(
        bom_ref=str(purl),
        name=locked.name,
        version=locked.version,
        purl=purl,
        hashes=sha256(*locked.sha256),
        description=(
            "its start program is in the file" if locked.name in contents.LAUNCHERS else None
        ),
        licenses=[LicenseExpression(name) if is_expression else DisjunctiveLicense(name=name)],
        components=[part(str(purl), each) for each in contents.wheel_contents(found)],
    )


def part(owner: str, listed: dict[str, Any]) -> Component:
    """Return one component that a wheel's own bill of materials lists, as far as it matters."""
    kept = {key: listed[key] for key in ("name", "version", "hashes", "licenses") if key in listed}
    component: Component = Component.from_json({"type": "library", **kept})
    component.bom_ref.value = f"{owner}#{component.name}@{component.version or ''}"
    purl = listed.get("purl", "")
    # Some name a folder of the machine that built the wheel.
    if purl and "file:" not in purl:
        component.purl = PackageURL.from_string(purl)
    component.cpe = cpe(component.name, component.version)
    return component


def project(found: contents.Project) -> Component:
    """Return the libraries of one C project, or of CPython with its standard library."""
    component = Component(
        bom_ref=found.name,
        name=found.name,
        version=found.version or None,
        cpe=cpe(found.name, found.version),
        purl=PackageURL("generic", name=found.name, version=found.version)
        if found.version
        else None,
        components=[
            Component(
                type=ComponentType.FILE,
                bom_ref=f"{found.name}#{each.name}",
                name=each.name,
                hashes=sha256(each.sha256),
            )
            for each in found.libraries
        ],
    )
    if len(found.packages) == 1:
        component.purl = package_url(found.packages[0])
        component.version = component.version or found.packages[0].version
    else:
        component.properties.update(
            Property(name="vault-jwt-plugin:package", value=str(package_url(each)))
            for each in found.packages
        )
    return component


def package_url(package: contents.Package) -> PackageURL:
    """Return a Debian package's purl."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    distro = release.get("ID", "debian")
    where = f"{distro}-{release['VERSION_ID']}" if "VERSION_ID" in release else distro
    return PackageURL(
        "deb",
        namespace=distro,
        name=package.name,
        version=package.version,
        qualifiers={"arch": package.architecture, "distro": where},
    )


def bill(*, version: str, digest: str, libraries: list[contents.Library]) -> dict[str, Any]:
    """Return the whole document.

    Args:
        version: of the plugin.
        digest: SHA-256 of the one file, hexadecimal.
        libraries: of the build machine, in the file.

    Raises:
        InvalidBillError: The document does not fit the schema.
    """
    main = PackageURL("generic", name=NAME, version=version)
    application = Component(
        type=ComponentType.APPLICATION,
        bom_ref=str(main),
        name=NAME,
        version=version,
        purl=main,
        hashes=sha256(digest),
    )
    bom = Bom(serial_number=uuid.UUID(int=0))
    # The library's default is now.
    bom.metadata.timestamp = None
    bom.metadata.component = application
    bom.components.update(
        distribution(locked, found)
        for locked in contents.distributions()
        # Some are locked for other interpreters or machines than this build's.
        if (found := contents.installed(locked)) is not None
    )
    bom.components.update(map(project, contents.projects(libraries)))
    bom.register_dependency(application, bom.components)
    bom.serial_number = uuid.uuid5(_NAMESPACE, JsonV1Dot6(bom).output_as_string())
    text = JsonV1Dot6(bom).output_as_string()
    if (error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise InvalidBillError(str(error))
    document: dict[str, Any] = json.loads(text)
    return document


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
