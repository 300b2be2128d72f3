"""The file itself: name, mode, size, checksum, and that it needs nothing from the build machine."""

import hashlib
import io
import subprocess
import tarfile

import pytest

from tests.build.world import REPO, load, run
from vault_jwt_plugin._version import VERSION

elffile = pytest.importorskip("elftools.elf.elffile", reason="staticx is not installed")

pytestmark = pytest.mark.build

MAX_BYTES = 40_000_000
MAX_BYTES_WITHOUT_CEL = 35_000_000


def dynamic_tags(path):
    """Return the dynamic section as (tag, string or None) pairs; None if the file has none."""
    with path.open("rb") as stream:
        if stream.read(4) != b"\x7fELF":
            return None
        for segment in elffile.ELFFile(stream).iter_segments("PT_DYNAMIC"):
            names = {"DT_NEEDED": "needed", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}
            return [
                (tag.entry.d_tag, getattr(tag, names.get(tag.entry.d_tag, ""), None))
                for tag in segment.iter_tags()
            ]
    return None


@pytest.fixture(scope="module")
def members(binary, tmp_path_factory):
    """Return the folder that the launcher unpacks and the program completes."""
    folder = tmp_path_factory.mktemp("members")
    with binary.open("rb") as stream:
        section = elffile.ELFFile(stream).get_section_by_name(".staticx.archive")
        with tarfile.open(fileobj=io.BytesIO(section.data())) as archive:
            archive.extractall(folder, filter="tar")
    load("bundle").complete(folder)
    return folder


@pytest.fixture(scope="module")
def libraries(members):
    """Return its dynamic ELF files by name."""
    files = (path for path in members.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.name: tags for path in files if (tags := dynamic_tags(path)) is not None}


def test_mode(binary):
    assert binary.stat().st_mode & 0o7777 == 0o755


def test_size(binary, members):
    late = sum(path.stat().st_size for path in members.glob("*.late.gz"))
    assert late > 0
    assert binary.stat().st_size <= MAX_BYTES
    assert binary.stat().st_size - late <= MAX_BYTES_WITHOUT_CEL


def test_checksum_file(binary):
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    checksum = binary.with_name("vault-jwt-plugin.sha256")
    assert checksum.read_text() == f"{digest}  vault-jwt-plugin\n"
    subprocess.run(["sha256sum", "--check", "--quiet", checksum], cwd=binary.parent, check=True)


def test_the_launcher_is_static(binary):
    assert dynamic_tags(binary) is None


def test_every_library_is_inside(libraries):
    """Check this because a musl machine has none of them, and a glibc machine has others."""
    needed = {text for tags in libraries.values() for tag, text in tags if tag == "DT_NEEDED"}
    assert needed
    assert needed <= set(libraries)


def test_no_run_path_but_the_launcher_s_placeholder(libraries):
    run_paths = {
        (name, tag, frozenset(text))
        for name, tags in libraries.items()
        for tag, text in tags
        if tag in {"DT_RPATH", "DT_RUNPATH"}
    }
    assert run_paths == {("vault-jwt-plugin", "DT_RPATH", frozenset("r"))}


def test_no_path_of_the_build_machine(members):
    for path in members.rglob("*"):
        if path.is_file():
            assert str(REPO).encode() not in path.read_bytes(), path.name


def test_the_check_is_no_part_of_it(members):
    assert not (members / "check").exists()


def test_version(binary):
    done = run([binary, "--version"])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"vault-jwt-plugin v{VERSION}\n", "")


def test_help(binary):
    done = run([binary, "--help"])
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: vault-jwt-plugin [--help | --version]\n")
    assert done.stderr == ""


def test_started_by_hand(binary):
    done = run([binary])
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"vault-jwt-plugin v{VERSION} is ")
    assert f"-sha256={digest} -command=vault-jwt-plugin -version=v{VERSION} auth jwt" in done.stderr


def test_a_second_build_changes_nothing():
    done = run([REPO / "scripts" / "build"])
    assert done.returncode == 0, done.stderr
    assert "unchanged" in done.stdout
    seconds = float(done.stdout.splitlines()[-1].split()[0])
    assert seconds < 1
