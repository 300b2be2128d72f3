"""The program's first decision: serve a host, or talk to a person."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from vault_jwt_plugin.goplugin.errors import (
    MagicCookieError,
    ProtocolVersionError,
    StartError,
)
from vault_jwt_plugin.goplugin.handshake import read_environment
from vault_jwt_plugin.goplugin.process import refuse_version, serve_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vault_jwt_plugin.goplugin.process import Plugin
    from vault_jwt_plugin.goplugin.program import Program


def serve(
    make_plugin: Callable[[], Plugin],
    *,
    program: Program,
    argv: Sequence[str] | None = None,
) -> int:
    """Run the program.

    If a host started it, this never returns: the process ends with `os._exit` after it has removed
    everything that it made. The arguments are then those registered with the plugin; they belong to
    the host and are ignored.

    Args:
        make_plugin: called once, if there is a host to serve.
        program: what to say to people.
        argv: the arguments after the program's name; None means those of the process.

    Returns:
        The exit status, if there was no host to serve.
    """
    try:
        request = read_environment(os.environ)
    except MagicCookieError as error:
        arguments = list(sys.argv[1:] if argv is None else argv)
        return _answer_person(program, arguments, str(error) if error.wrong_value else "")
    except ProtocolVersionError as error:
        _complain(program, str(error))
        return refuse_version()
    except StartError as error:
        _complain(program, str(error))
        return 1
    return serve_host(make_plugin, request=request, program=program)


def _answer_person(program: Program, arguments: list[str], remark: str) -> int:
    if "--version" in arguments:
        sys.stdout.write(program.version_line())
        return 0
    if "--help" in arguments or "-h" in arguments:
        sys.stdout.write(program.help_text())
        return 0
    if arguments:
        _complain(program, f"unknown argument {arguments[0]!r}, see --help")
    if remark:
        _complain(program, remark)
    sys.stderr.write(program.explanation())
    return 1


def _complain(program: Program, text: str) -> None:
    """Print one plain line: hosts log it at Error because of its prefix, and people can read it."""
    sys.stderr.write(f"[ERROR] {program.name}: {text}\n")
