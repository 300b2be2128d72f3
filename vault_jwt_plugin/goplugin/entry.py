"""The first decision of the program: serve a host, or talk to a person."""

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
    """Run the whole life of the program.

    When a host started it, this does not return: the process ends by `os._exit` once all that it
    made is removed. Arguments registered with the plugin are the host's and are ignored then.

    Args:
        make_plugin: called once, when a host is there to be served.
        program: what to say to people.
        argv: the arguments after the program's name; None = those of the process.

    Returns:
        The exit status, when there was no host to serve.
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
    """One plain line: hosts log it at Error for its prefix, people read it as it is."""
    sys.stderr.write(f"[ERROR] {program.name}: {text}\n")
