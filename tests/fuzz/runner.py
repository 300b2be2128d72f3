"""Runs targets under atheris, each in a process, and says what came of it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz import targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.fuzz.target import Target

REPO = Path(__file__).resolve().parents[2]

HANGS_S = 20
"""How long an input may take before the fuzzer calls it a hang: instrumented, on a busy machine."""

SLOW_CPU_S = 1.0
"""What an input may take of a processor, without the instrumentation."""

_START_S = 300
_RUNS = re.compile(r"^stat::number_of_executed_units: +([0-9]+)", re.MULTILINE)
_INSTRUMENTING = re.compile(r"^INFO: Instrumenting .*\n", re.MULTILINE)
_COVERED = re.compile(r"cov: ([0-9]+)")


def absent() -> str | None:
    """Why there is no fuzzing here; None if there is."""
    if importlib.util.find_spec("atheris") is None:
        return "atheris is not installed: it has wheels for Linux x86-64 and Python 3.11 to 3.13"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run came to.

    Attributes:
        name: Of the target.
        found: Files with inputs that did what none may do.
        slow: Files with inputs that take more than `SLOW_CPU_S`.
        runs: Inputs tried; None if the fuzzer did not say.
        covered: Places of our code reached, as the fuzzer counts them; None as for `runs`.
        status: Of the process; 0 is good.
        output: Of the process, its end.
    """

    name: str
    found: tuple[Path, ...]
    slow: tuple[Path, ...]
    runs: int | None
    covered: int | None
    status: int
    output: str

    @property
    def clean(self) -> bool:
        """Nothing was found, and the fuzzer ran to its end."""
        return self.status == 0 and not self.found and not self.slow

    def __str__(self) -> str:
        said = f"{self.name}: {self.runs} inputs, {self.covered} places covered"
        if self.clean:
            return f"{said}, nothing found"
        files = [*self.found, *self.slow]
        return (
            f"{said}, status {self.status}, FOUND {', '.join(map(str, files)) or 'nothing to keep'}"
        )


def fuzz(name: str, *, seconds: float, folder: Path, seed: int | None = None) -> Outcome:
    """Fuzz one target.

    Args:
        name: Of the target.
        seconds: How long, the start not counted.
        folder: For what is made: `seeds`, `corpus`, kept between runs, and `found`.
        seed: Of the fuzzer's chances; None = another one every time.
    """
    corpus, artifacts = folder / name / "corpus", folder / name / "found"
    for each in (corpus, artifacts):
        each.mkdir(parents=True, exist_ok=True)
    before = set(artifacts.iterdir())
    command = [sys.executable, "-m", "tests.fuzz.engine", name]
    command += [f"-max_total_time={seconds:.0f}", f"-timeout={HANGS_S}", "-print_final_stats=1"]
    command += ["-report_slow_units=2", f"-artifact_prefix={artifacts}/"]
    if seed is not None:
        command.append(f"-seed={seed}")
    words = folder / name / "words"
    if dictionary := _dictionary(targets.load(name).words):
        words.write_text(dictionary)
        command.append(f"-dict={words}")
    command += [str(corpus), str(_seeds_folder(name, folder / name / "seeds"))]
    environment = _environment()
    try:
        done = subprocess.run(
            command,
            cwd=REPO,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + _START_S,
            check=False,
        )
        status, raw = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        status, raw = -1, (error.stdout or b"") + b"\nthe fuzzer did not end\n"
    output = _INSTRUMENTING.sub("", raw.decode("utf-8", "replace"))
    new = sorted(set(artifacts.iterdir()) - before)
    slow = [path for path in new if path.name.startswith("slow-unit")]
    runs, covered = _RUNS.search(output), _COVERED.findall(output)
    return Outcome(
        name=name,
        found=tuple(path for path in new if path not in slow),
        slow=tuple(path for path in slow if _is_slow(name, path)),
        runs=int(runs[1]) if runs else None,
        covered=int(covered[-1]) if covered else None,
        status=status,
        output=output[-8000:],
    )


def fuzz_all(
    names: Iterable[str], *, seconds: float, jobs: int, folder: Path, seed: int | None = None
) -> Iterator[Outcome]:
    """Fuzz several targets, some at a time; each one's outcome, in the order of the names."""

    def one(name: str) -> Outcome:
        return fuzz(name, seconds=seconds, folder=folder, seed=seed)

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(one, names)


def _seeds_folder(name: str, folder: Path) -> Path:
    """A folder with a file for each seed, as libFuzzer wants them."""
    folder.mkdir(exist_ok=True)
    for seed, data in targets.seeds(name).items():
        (folder / seed).write_bytes(data)
    return folder


def _environment() -> Mapping[str, str]:
    # Hashes decide the order of sets, and with it which places an input reaches.
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(REPO)}


def _dictionary(words: Iterable[bytes]) -> str:
    """libFuzzer's form: a quoted text in each line."""
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in words if len(word) <= 128)
    return "".join(f'"{word}"\n' for word in escaped)


def _is_slow(name: str, path: Path) -> bool:
    """Whether an input takes long without the instrumentation, and not only the first time."""
    target, data = targets.load(name), path.read_bytes()
    return min(cpu_s(target, data) for _ in range(2)) > SLOW_CPU_S


def cpu_s(target: Target, data: bytes) -> float:
    """What an input takes of a processor, in seconds. What else it does, others look at."""
    before = time.process_time()
    try:
        target.run(data)
    except Exception:  # noqa: BLE001 - see above
        return 0.0
    return time.process_time() - before
