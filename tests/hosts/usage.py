"""What processes use: memory that is theirs alone, open descriptors, processor time.

Standard library only. The kernel shows some of it to root alone, since the plugin is not dumpable
(prctl(2)): somebody else sees less of it, and says so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The sum over some processes.

    Attributes:
        private_kib: memory that nobody else has: USS, of smaps_rollup in proc(5). Where that can't
            be read, anonymous memory: the same without what a process changed of its files.
        proportional_kib: with a share of what others have too: PSS; None where it can't be read.
        descriptors: that are open; None where neither they nor their number can be seen.
    """

    private_kib: int
    proportional_kib: int | None
    descriptors: int | None


def usage(pids: Iterable[int]) -> Usage:
    """What these processes use now.

    Raises:
        OSError: One of them is gone.
    """
    private, proportional, descriptors = 0, 0, 0
    all_memory, all_descriptors = True, True
    for pid in pids:
        proc = Path(f"/proc/{pid}")
        try:
            sizes = _sizes_kib(proc / "smaps_rollup")
            private += sizes["Private_Clean"] + sizes["Private_Dirty"]
            proportional += sizes["Pss"]
        except PermissionError:
            private += _sizes_kib(proc / "status")["RssAnon"]
            all_memory = False
        count = _descriptors(proc / "fd")
        if count is None:
            all_descriptors = False
        else:
            descriptors += count
    return Usage(
        private_kib=private,
        proportional_kib=proportional if all_memory else None,
        descriptors=descriptors if all_descriptors else None,
    )


def _sizes_kib(file: Path) -> dict[str, int]:
    """The lines of a file in proc(5) that are a name and a number of KiB."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {line[0].rstrip(":"): int(line[1]) for line in lines if line[2:] == ["kB"]}


def _descriptors(folder: Path) -> int | None:
    try:
        return sum(1 for _ in folder.iterdir())
    except PermissionError:
        # Linux 6.2 and later: their number, and 0 before.
        return folder.stat().st_size or None


def resident_mib(pids: Iterable[int]) -> float:
    """Resident memory of these processes together, in MiB: what they share counts for each."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time that these processes have used (proc(5): utime, stime)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def machine_cpu_seconds() -> float:
    """Processor time that all processes of the machine have used, and what other machines took.

    Without interrupts: those of the network are nobody's, and most of them on a loopback ours.
    """
    fields = Path("/proc/stat").read_text().split(maxsplit=10)
    user, nice, system, stolen = (int(fields[at]) for at in (1, 2, 3, 8))
    return (user + nice + system + stolen) / TICKS_PER_SECOND
