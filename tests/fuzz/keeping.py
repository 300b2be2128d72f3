"""Which inputs that a fuzzer made become seeds: small ones that reach what no seed reaches."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from tests.fuzz import targets

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import FrameType

    from tests.fuzz.target import Target

MAX_KEPT = 25
"""Inputs that one call keeps."""

MAX_KEPT_BYTES = 4096

Steps = set[tuple[str, int, int]]
"""(file, line before, line) within functions of ours."""


def keep(name: str, candidates: Iterable[Path]) -> list[str]:
    """Add what is worth it to a target's seeds; return the names of what was added."""
    target = targets.load(name)
    known: Steps = set()
    for data in targets.seeds(name).values():
        known |= steps(target, data)
    kept: dict[str, bytes] = {}
    for path in sorted(candidates, key=lambda each: (each.stat().st_size, each.name)):
        if len(kept) >= MAX_KEPT or path.stat().st_size > MAX_KEPT_BYTES:
            break
        data = path.read_bytes()
        new = steps(target, data) - known
        if new:
            known |= new
            kept[f"found-{targets.digest(data)}"] = data
    return targets.add_seeds(name, kept)


def steps(target: Target, data: bytes) -> Steps:
    """What an input reaches of our code, from line to line."""
    reached: Steps = set()
    last: dict[int, int] = {}

    def local(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            key = id(frame)
            reached.add((frame.f_code.co_filename, last.get(key, 0), frame.f_lineno))
            last[key] = frame.f_lineno
        elif event == "return":
            last.pop(id(frame), None)
        return local

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        return local if "/vault_jwt_plugin/" in frame.f_code.co_filename else None

    sys.settrace(trace)
    try:
        with contextlib.suppress(Exception):
            target.run(data)
    finally:
        sys.settrace(None)
    return reached
