"""Whom an outbound connection trusts: authorities, names, certificate extensions.

The authorities are the CA PEM of the configuration, and then nothing else; or what Go's crypto/x509
would take (`root_unix.go`, `root_linux.go`), so that an operator's image works
with ours as it did with the builtin method; or certifi's copy of Mozilla's list,
where a minimal image has none.
"""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.fetching.certificates import enforce

if TYPE_CHECKING:
    from collections.abc import Callable

SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where Go looks for the system's roots on Linux, in its order."""

SYSTEM_DIRECTORIES = ("/etc/ssl/certs", "/etc/pki/tls/certs")
"""Directories of PEM files that Go reads as well."""

MAX_CA_PEM_CHARS = 4 * 1024 * 1024
"""Longest CA PEM, in characters."""

KEPT_FOR_S = 600.0
"""How long the system's roots are used as they were read, in seconds; in Go it is for ever."""

MAX_KEPT = 8
"""Settings with the system's roots that are kept at one time, about 1 MB each."""


class BadCAError(ValueError):
    """The CA PEM holds no certificate that can be read, or something else beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the server at the other end must show.

    Attributes:
        ca_pem: certificates that alone are trusted; "" means the system's.
        server_names: names and addresses that its certificate may carry instead of the
            URL's host (`override_allowed_server_names`).
        critical_extensions: dotted OIDs of critical extensions that its chain may have,
            though OpenSSL does not know them (`unsupported_critical_cert_extensions`).
    """

    ca_pem: str = ""
    server_names: tuple[str, ...] = ()
    critical_extensions: tuple[str, ...] = ()


def client_context(trust: Trust) -> ssl.SSLContext:
    """TLS settings of a client, which check the server's certificates and name.

    Raises:
        BadCAError: nothing usable in its `ca_pem`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As in Go: a certificate in the pool is an anchor though it is no root, and a name counts
    # only as subjectAltName.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
    # As Go: the checks of the certificates hold for the whole connection.
    context.options |= ssl.OP_NO_RENEGOTIATION
    enforce(
        context,
        server_names=trust.server_names,
        critical_extensions=trust.critical_extensions,
    )
    ca_pem = trust.ca_pem
    if not ca_pem:
        _load_system_roots(context)
        return context
    if len(ca_pem) > MAX_CA_PEM_CHARS:
        raise BadCAError
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError, TypeError):  # the last for text that is not ASCII
        raise BadCAError from None
    if not context.cert_store_stats()["x509"]:
        raise BadCAError
    return context


class KeptContexts:
    """Client contexts, of which those with the system's roots are kept for a while.

    To read some 140 roots takes 85 ms of a processor: too much for every login that asks a
    provider's API, and for logins that wait for that processor. Used by many threads.

    Args:
        make: see `client_context`.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        make: Callable[[Trust], ssl.SSLContext] = client_context,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._monotonic = monotonic
        self._kept: dict[tuple[Trust, str | None, str | None], tuple[float, ssl.SSLContext]] = {}

    def of(self, trust: Trust) -> ssl.SSLContext:
        """The settings for connections to whom is trusted; not to be changed.

        Raises:
            BadCAError: as `client_context`.
        """
        if trust.ca_pem:
            return self._make(trust)
        key = (trust, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        now = self._monotonic()
        made_at, context = self._kept.get(key, (0.0, None))
        if context is None or now - made_at >= KEPT_FOR_S:
            # Two threads may both make it, and neither waits for the other.
            context = self._make(trust)
            if len(self._kept) >= MAX_KEPT:
                self._kept = {}
            self._kept[key] = (now, context)
        return context


def _load_system_roots(context: ssl.SSLContext) -> None:
    file = os.environ.get("SSL_CERT_FILE")
    directories = os.environ.get("SSL_CERT_DIR")
    files = (file,) if file else () if directories else SYSTEM_FILES
    # The first file that can be read. Differs from Vault: Go reads the directories as well, so
    # that SSL_CERT_FILE could only add to the system's roots; here what the operator names is all.
    loaded = any(_load_file(context, each) for each in files)
    if directories or not loaded:
        for directory in directories.split(":") if directories else SYSTEM_DIRECTORIES:
            loaded |= _load_directory(context, directory)
    if not (loaded or file or directories):
        import certifi

        context.load_verify_locations(cafile=certifi.where())


def _load_directory(context: ssl.SSLContext, directory: str) -> bool:
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - names are all that is needed
    except OSError:
        return False
    loaded = False
    for name in names:
        loaded |= _load_file(context, str(Path(directory) / name))
    return loaded


def _load_file(context: ssl.SSLContext, path: str) -> bool:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ValueError):  # ssl.SSLError is an OSError: no certificate in it
        return False
    return True
