"""Turn the program's folder into one file that contains every library, down to the libc.

usage: onefile.py FOLDER PROGRAM OUTPUT [LEFT_OUT ...]

OUTPUT.libraries.json then lists the machine's libraries in it: name, digest, and original path.

The official Vault and OpenBao images are Alpine (musl), and a glibc program finds no loader there.
So the file is a static launcher (staticx's) followed by a tar archive: the folder that PyInstaller
made, glibc with its loader, and a small library that restricts name resolution to glibc's own
`files` and `dns`. At each start the launcher unpacks the archive into $TMPDIR (else /tmp), points
the program's interpreter and run path there, runs it as its only child, forwards SIGINT and
SIGTERM,
waits, and removes the folder.

staticx's own command does this for a single executable. Its building blocks are used here instead
of its generator for three reasons: the program is a folder, every library loses its RUNPATH (a
RUNPATH makes the loader ignore the program's run path, and leads to the build machine's folders),
and the same input must give the same bytes (staticx archives the names, times and owners of its
temporary files).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO

import bundle
from elftools.elf.gnuversions import GNUVerNeedSection
from launcher import speak_up
from staticx import constants, elf
from staticx.assets import locate_asset

NSSFIX = "libnssfix.so"
"""staticx's library. Without it the bundled glibc would obey the machine's nsswitch.conf and load
that machine's NSS modules, which are made for another glibc or missing.
"""

CXX_LIBRARY = "libstdc++.so.6"
CEL_LIBRARY = "cel_expr_python.cel.so"
LATE = ".late.gz"
"""The suffix of what jwt_auth/cel/library.py unpacks when a CEL role first needs it."""

COMPRESSED = "libcrypto.so.3"
"""Needed only after the program has completed its folder: saves 3 of 5 MB, for 15 ms a start."""


def elf_files(folder: Path) -> list[Path]:
    """Return the dynamic ELF files below `folder`, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if elf.is_dynamic_elf(path)]


def copy_asset(name: str, target: Path) -> None:
    """Copy a prebuilt file of the staticx package to `target`, executable."""
    source: IO[bytes] = locate_asset(name, debug=False)
    with source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    target.chmod(0o755)


def add_machine_libraries(folder: Path) -> dict[str, str]:
    """Copy the libraries that the folder's files link to and PyInstaller leaves out: glibc.

    Returns:
        Their paths on the machine, by name.
    """
    missing: dict[str, str] = {}
    for binary in elf_files(folder):
        for library in elf.get_shobj_deps(binary, libpath=[str(folder)]):
            if not (folder / Path(library).name).exists():
                missing[Path(library).name] = library
    for name, library in missing.items():
        shutil.copyfile(library, folder / name)
    return missing


def list_libraries(folder: Path, sources: dict[str, str]) -> list[dict[str, str | None]]:
    """List the machine's libraries in the folder as they are there, for build/sbom.py."""
    libraries = [
        path
        for path in elf_files(folder)
        if path.parent == folder and path.name.startswith(("lib", "ld-")) and path.name != NSSFIX
    ]
    return [
        {
            "name": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "source": sources.get(path.name),
        }
        for path in libraries
    ]


def needed_libraries(binary: Path) -> list[str]:
    """Return the file names of the libraries that `binary` is linked to."""
    with elf.open_elf(binary) as opened:
        return [tag.needed for tag in opened.get_dynamic_segment().iter_tags("DT_NEEDED")]


def versioned_libraries(binary: Path) -> list[str]:
    """Return the file names of the libraries of which `binary` uses a versioned symbol."""
    with elf.open_elf(binary) as opened:
        section = opened.get_single_section(GNUVerNeedSection)
        return [library.name for library, _ in section.iter_versions()] if section else []


def drop_unused_cxx(folder: Path) -> None:
    """Unlink the C++ library (2 MB) from binaries that use nothing of it, such as protobuf's.

    Every symbol of that library is versioned, so every user names it in its table of versions.
    """
    users = [path for path in elf_files(folder) if CXX_LIBRARY in needed_libraries(path)]
    for binary in users:
        if CXX_LIBRARY not in versioned_libraries(binary):
            subprocess.run(["patchelf", "--remove-needed", CXX_LIBRARY, binary], check=True)
    if not any(CXX_LIBRARY in needed_libraries(binary) for binary in users):
        (folder / CXX_LIBRARY).unlink(missing_ok=True)


def pack_late(folder: Path) -> None:
    """Compress the CEL library, which is unpacked when a CEL role first needs it."""
    library = folder / CEL_LIBRARY
    # No time is stored, so that the same library gives the same bytes.
    packed = gzip.compress(library.read_bytes(), mtime=0)
    library.with_name(library.name + LATE).write_bytes(packed)
    library.unlink()


def slim(binary: Path) -> None:
    """Strip `binary` and remove its run path, so that only the program's own one counts.

    Strip comes first: it can damage a file whose headers patchelf has moved.
    """
    subprocess.run(["strip", "--strip-unneeded", binary], check=True)
    with elf.open_elf(binary) as opened:
        has_run_path = bool(opened.get_rpath() or opened.get_runpath())
    if has_run_path:
        elf.remove_rpath(binary)


def prepare_program(program: Path) -> str:
    """Give the program the placeholders that the launcher overwrites at each start.

    Returns:
        The file name of the program's loader, such as `ld-linux-x86-64.so.2`.
    """
    loader = Path(elf.get_prog_interp(program)).name
    elf.patch_elf(program, add_needed=NSSFIX)
    elf.patch_elf(
        program,
        interpreter="i" * constants.MAX_INTERP_LEN,
        rpath="r" * constants.MAX_RPATH_LEN,
        force_rpath=True,
        # The machine's library folders contain libraries of another glibc, or of musl.
        no_default_lib=True,
    )
    return loader


def write_archive(folder: Path, program: str, loader: str, archive: Path, timestamp: int) -> None:
    """Write the tar archive that the launcher unpacks: sorted, with one time and one owner."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = timestamp
        # The launcher writes into the program. Everything is below a folder of mode 0700.
        info.mode = 0o700 if info.name in {program, loader} else 0o600
        return info

    # GNU's older format, because the launcher reads no other.
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            if not path.is_dir():
                tar.add(path, arcname=str(path.relative_to(folder)), filter=plain)
        for name, target in (
            (constants.PROG_FILENAME, program),
            (constants.INTERP_FILENAME, loader),
        ):
            link = tarfile.TarInfo(name)
            link.type = tarfile.SYMTYPE
            link.linkname = target
            link.mtime = timestamp
            tar.addfile(link)


def make_one_file(
    folder: Path, program: str, output: Path, *, left_out: list[str], timestamp: int
) -> None:
    """Turn a copy of `folder` into the executable `output` that runs `folder/program`.

    Args:
        folder: PyInstaller's one-folder build; not changed.
        program: the program's file name in it.
        output: written with mode 0755.
        left_out: names in the folder that are not copied, such as other programs.
        timestamp: modification time of everything unpacked, seconds since the epoch.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "tree")
        shutil.copytree(folder, tree, ignore=shutil.ignore_patterns(*left_out))
        copy_asset(NSSFIX, tree / NSSFIX)
        drop_unused_cxx(tree)
        sources = add_machine_libraries(tree)
        # PyInstaller's start program, which contains the modules, is already stripped.
        for binary in elf_files(tree):
            if binary != tree / program:
                slim(binary)
        libraries = list_libraries(tree, sources)
        if (tree / COMPRESSED).exists():
            bundle.pack(tree / COMPRESSED)
        pack_late(tree)
        loader = prepare_program(tree / program)
        (tree / bundle.MARKER).touch()
        archive = Path(scratch, "archive.tar")
        write_archive(tree, program, loader, archive, timestamp)
        launcher = Path(scratch, "launcher")
        copy_asset("bootloader", launcher)
        speak_up(launcher)
        elf.elf_add_section(launcher, constants.ARCHIVE_SECTION, archive)
        shutil.copyfile(launcher, output)
    output.chmod(0o755)
    manifest = output.with_name(f"{output.name}.libraries.json")
    manifest.write_text(json.dumps(libraries, indent=1), encoding="utf-8")


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) < 4:
        sys.stderr.write(__doc__)
        return 2
    folder, program, output, *left_out = sys.argv[1:]
    make_one_file(
        Path(folder),
        program,
        Path(output),
        left_out=left_out,
        timestamp=int(os.environ.get("SOURCE_DATE_EPOCH", "0")),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
