"""An issuer on the loopback: key sets and discovery documents, right and wrong, http and https."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import ipaddress
import json
import ssl
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.hosts.server import free_port
from tests.hosts.tokens import jwk, private_key

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority made for a test run."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str) -> Self:
        """A new authority, good for a day."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, name, key.public_key())
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        return cls(certificate=builder.sign(key, hashes.SHA256()), key=key)

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self) -> ssl.SSLContext:
        """TLS for a server that is `localhost` and `127.0.0.1`, with a certificate of ours."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            _builder("localhost", _name_of(self.certificate), key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate.public_bytes(serialization.Encoding.PEM))
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
            file.flush()
            context.load_cert_chain(file.name)
        return context


def _name_of(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _builder(subject: str, issuer: str, key: Any, *, days: int = 1) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=days))
    )


@functools.cache
def certificate_pem(key_name: str, *, expired: bool = False) -> str:
    """A self-signed certificate of a named key of tests.hosts.tokens."""
    key: Any = private_key(key_name)
    days = 0 if expired else 1
    certificate = _builder("key", "key", key.public_key(), days=days).sign(
        key, None if key_name.startswith("ed") else hashes.SHA256()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def discovery_document(base: str) -> dict[str, Any]:
    """A discovery document, OpenID Connect Discovery 3, whose issuer is `base`."""
    root = base.rstrip("/")
    return {
        "issuer": base,
        "authorization_endpoint": f"{root}/authorize",
        "token_endpoint": f"{root}/token",
        "jwks_uri": f"{root}/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


class Issuer:
    """A loopback HTTP(S) server whose answers are a table.

    Attributes:
        routes: Path -> status, content type, body; open to change while it runs.
        hits: Path -> how often it was asked for.
        hanging: Paths that are asked for in vain: no answer until the issuer closes.
    """

    def __init__(self, authority: Authority | None = None) -> None:
        """None = plain http. Listens at once; serves from `with` on."""
        self.routes: dict[str, tuple[int, str, bytes]] = {}
        self.hits: Counter[str] = Counter()
        self.hanging: set[str] = set()
        self.asked = threading.Condition()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.scheme = "http"
        if authority is not None:
            # The handshake belongs to the connection's own thread, not to the accepting one.
            self._server.socket = authority.server_context().wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.scheme = "https"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        """Scheme, host and port, without a trailing slash."""
        return f"{self.scheme}://127.0.0.1:{self._server.server_address[1]}"

    def put_json(self, path: str, document: Any, status: int = 200) -> None:
        """Answer GET `path` with this JSON."""
        self.routes[path] = (status, "application/json", json.dumps(document).encode())

    def put_text(self, path: str, text: str, status: int = 200) -> None:
        """Answer GET `path` with this text, as HTML."""
        self.routes[path] = (status, "text/html", text.encode())

    def put_issuer(self, path: str, keys: list[dict[str, Any]], *, slash: bool = False) -> None:
        """Serve a whole issuer below `path`; `slash`: its name ends in one."""
        base = f"{self.url}{path}" + ("/" if slash else "")
        self.put_json(f"{path}{_DISCOVERY}", discovery_document(base))
        self.put_json(f"{path}/jwks", {"keys": keys})

    def wait_asked(self, path: str, timeout_s: float = 10) -> None:
        """Wait until somebody asks for `path`.

        Raises:
            TimeoutError: Nobody did.
        """
        with self.asked:
            if not self.asked.wait_for(lambda: self.hits[path], timeout_s):
                raise TimeoutError(f"nobody asked for {path}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                with issuer.asked:
                    issuer.hits[self.path] += 1
                    issuer.asked.notify_all()
                if self.path in issuer.hanging:
                    issuer._closing.wait()
                    self.close_connection = True
                    return
                missing = (404, "text/plain", b"not found")
                status, kind, body = issuer.routes.get(self.path, missing)
                # As Kubernetes' API servers and many frameworks do.
                if self.headers.get("Accept", "*/*") not in {"*/*", kind}:
                    status, kind, body = 406, "text/plain", b"not acceptable"
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

            def handle(self) -> None:
                # A client that distrusts our certificate breaks the connection off: no fault of
                # the test's.
                try:
                    super().handle()
                except (ssl.SSLError, ConnectionError):
                    self.close_connection = True

        return Handler


def standard_routes(issuer: Issuer) -> None:
    """The issuers and the faulty documents that the tests name."""
    keys = [jwk("rsa"), jwk("ec256"), jwk("ed")]
    issuer.put_issuer("/plain", keys)
    issuer.put_issuer("/slash", keys, slash=True)
    issuer.put_json("/jwks", {"keys": keys})
    issuer.put_json("/jwks-no-kid", {"keys": [jwk("rsa-other", kid=None), jwk("rsa", kid=None)]})
    issuer.put_json("/jwks-same-kid", {"keys": [jwk("rsa-other", kid="x"), jwk("rsa", kid="x")]})
    issuer.put_json("/jwks-use-enc", {"keys": [jwk("rsa", use="enc", alg="RS512")]})
    issuer.put_json("/jwks-empty", {"keys": []})
    issuer.put_json("/jwks-no-member", {"issuer": "nobody"})
    issuer.put_json("/jwks-list", [])
    issuer.put_text("/html", "<html>sign in</html>")
    issuer.put_text("/error", "oops", status=500)
    issuer.put_json(f"/wrong-issuer{_DISCOVERY}", discovery_document("https://elsewhere.example"))
    issuer.put_text(f"/html-issuer{_DISCOVERY}", "<html>sign in</html>")
    issuer.routes["/huge"] = (200, "application/json", b'{"keys": ["' + b"x" * 20_000_000 + b'"]}')
    issuer.hanging |= {"/slow", f"/slow-issuer{_DISCOVERY}"}
    issuer.put_json(f"/no-jwks{_DISCOVERY}", {"issuer": f"{issuer.url}/no-jwks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuers:
    """The issuers of a test run. `dead` is the address of one that is down."""

    http: Issuer
    https: Issuer
    authority: Authority
    stranger: Authority
    dead: str


@contextlib.contextmanager
def issuers() -> Iterator[Issuers]:
    """Issuers with the standard routes, serving for the length of a `with` block."""
    authority, stranger = Authority.make("test CA"), Authority.make("another CA")
    with Issuer() as http, Issuer(authority) as https:
        for issuer in (http, https):
            standard_routes(issuer)
        dead = f"http://127.0.0.1:{free_port()}"
        yield Issuers(http=http, https=https, authority=authority, stranger=stranger, dead=dead)
