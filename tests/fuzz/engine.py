"""One target under atheris, in a process of its own: `python -m tests.fuzz.engine TARGET FLAGS`.

The flags are libFuzzer's, and folders of inputs; the memory limit is added here, for only here is
it known what the process takes before the first input.
"""

from __future__ import annotations

import os
import pkgutil
import resource
import sys
from importlib import import_module
from random import Random

import atheris

GROWTH_MB = 256
"""What the process may grow by, the fuzzer's own memory included, in MiB."""


def _import_ours() -> None:
    """Every module of ours: those that are imported where they are first used would be missed."""
    package = import_module("vault_jwt_plugin")
    for found in pkgutil.walk_packages(package.__path__, "vault_jwt_plugin."):
        if not found.name.endswith("__main__"):
            import_module(found.name)


def main() -> None:
    """Fuzz until the flags say stop, or something is found; does not return."""
    os.nice(10)
    name, *flags = sys.argv[1:]
    with atheris.instrument_imports(include=["vault_jwt_plugin"]):
        _import_ours()
        targets = import_module("tests.fuzz.targets")
        target = targets.load(name)
    for data in target.examples().values():
        target.run(data)
    used_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.4:
            mutated: bytes = atheris.Mutate(data, max_bytes)
            return mutated
        return bytes(target.mutate(bytes(data), random, target.words)[:max_bytes])

    arguments = [name, f"-rss_limit_mb={used_mb + GROWTH_MB}", f"-max_len={target.max_bytes}"]
    atheris.Setup([*arguments, *flags], target.run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
