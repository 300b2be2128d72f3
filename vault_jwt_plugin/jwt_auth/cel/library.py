"""Google's CEL (`cel-expr-python`), loaded at the first use of CEL and not before.

One extension module of 14 MB holds the language and every extension library
that is used here. Nobody without a CEL role pays for it, neither in start time
nor in memory:

- installed as a package, it is imported when first needed;
- in the one-file program it is a gzip file beside the other libraries, made by
  the build under the name `PACKED`. It is unpacked beside itself, in the folder
  that the program already runs from and removes at its end.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.sdk import InternalError

if TYPE_CHECKING:
    from types import ModuleType

MODULE = "cel_expr_python.cel"

LIBRARY = "cel_expr_python.cel.so"
"""The file's name in the one-file program's folder, once it is unpacked."""

PACKED = LIBRARY + ".late.gz"
"""The gzip file whose content is the extension module."""

_loaded: ModuleType | None = None
_loading = threading.Lock()


class CELUnavailableError(InternalError):
    """The library is not installed, or can't be loaded: HTTP 500, with the reason."""

    code = "cel_unavailable"


def is_loaded() -> bool:
    """Whether CEL was used in this process."""
    return _loaded is not None


def load() -> Any:
    """The module `cel_expr_python.cel`; loads it at the first call.

    Raises:
        CELUnavailableError: it can't be loaded.
    """
    global _loaded  # noqa: PLW0603 - a library is loaded once per process, as `sys.modules` says
    with _loading:
        if _loaded is None:
            try:
                _loaded = _load_packed() or importlib.import_module(MODULE)
            except (ImportError, OSError, EOFError, zlib.error) as error:
                # The reason names files of the installation, never anything of a caller.
                raise CELUnavailableError(
                    f"CEL roles need the library cel-expr-python, which can't be loaded: {error}"
                ) from error
        return _loaded


async def load_beside() -> None:
    """`load` in a thread: the first call unpacks and links, which takes up to 0.2 s.

    Raises:
        CELUnavailableError: it can't be loaded.
    """
    if _loaded is None:
        await asyncio.to_thread(load)


def packed_module() -> Path | None:
    """The packed library of the one-file program; None where there is none."""
    folder = getattr(sys, "_MEIPASS", None)
    if folder is None:
        return None
    packed = Path(folder, PACKED)
    return packed if packed.is_file() else None


def _load_packed() -> ModuleType | None:
    packed = packed_module()
    if packed is None:
        return None
    library = packed.with_name(LIBRARY)
    if not library.exists():
        _unpack(packed, library)
    spec = importlib.util.spec_from_file_location(MODULE, library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library.name} is no extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[MODULE] = module
    return module


def _unpack(packed: Path, library: Path) -> None:
    import gzip
    import shutil

    # Whole or not at all: half a library would stay for the process's next try.
    unfinished = library.with_name(f".{library.name}.{os.getpid()}")
    try:
        with gzip.open(packed) as source, unfinished.open("xb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        unfinished.chmod(0o500)
        unfinished.replace(library)
    finally:
        unfinished.unlink(missing_ok=True)
