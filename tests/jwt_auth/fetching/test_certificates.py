"""What certificates may be beyond what OpenSSL can be told, with real handshakes."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.jwt_auth.certs import Authority
from tests.jwt_auth.loopback import Server, answering
from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching import certificates as peer
from vault_jwt_plugin.jwt_auth.fetching.certificates import (
    KNOWN_EXTENSIONS,
    PeerRefusedError,
    canonical_oid,
    check_extensions,
    check_names,
)
from vault_jwt_plugin.jwt_auth.fetching.fetcher import HTTPFetcher
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust, client_context

OID, OTHER_OID = "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2"
CA = Authority()
# One with an unknown critical extension in its certificate, below another CA.
ROOT = Authority("root")
ODD_INTERMEDIATE = Authority("odd intermediate", issuer=ROOT, critical=[OID])
ODD_ROOT = Authority("odd root", critical=[OID])


def fetched(server, **trust):
    """ "" when the document came, the error's code otherwise; with its text."""

    async def main():
        fetcher = HTTPFetcher()
        try:
            await fetcher.get_json(server.url(), trust=Trust(**trust), deadline_s=5, max_bytes=1024)
        finally:
            fetcher.close()

    try:
        asyncio.run(main())
    except FetchError as error:
        return error.code, error.message
    return "", ""


NAMES: dict[str, tuple[list[str], list[str], str]] = {
    # The server's names, those accepted, the code.
    "the host's": (["127.0.0.1"], [], ""),
    "another": (["internal.example"], [], "tls_name"),
    "another, accepted": (["internal.example"], ["internal.example"], ""),
    "one of several": (["internal.example"], ["x", "internal.example", "y"], ""),
    "beside the host's": (["127.0.0.1"], ["internal.example"], ""),
    "the host's, named": (["127.0.0.1"], ["127.0.0.1"], ""),
    "none of them": (["internal.example"], ["other.example"], "tls_name"),
    "empty": (["internal.example"], [""], "tls_name"),
}


@pytest.mark.parametrize(("names", "accepted", "code"), NAMES.values(), ids=NAMES.keys())
def test_names(names, accepted, code):
    with Server(answering({}), certificate=CA.issue(*names)) as server:
        got, message = fetched(server, ca_pem=CA.pem, server_names=tuple(accepted))
        assert got == code
        # Nothing was sent before the certificate was judged.
        assert bool(server.requests) == (not code)
        if code and accepted:
            assert message == (
                f'can\'t use "{server.url()}": its certificate is neither for its host nor for one '
                "of override_allowed_server_names"
            )


def test_a_name_does_not_replace_trust():
    with Server(answering({}), certificate=CA.issue("internal.example")) as server:
        stranger = Authority("stranger")
        got, _ = fetched(server, ca_pem=stranger.pem, server_names=("internal.example",))
        assert got == "tls_untrusted"
    with Server(answering({}), certificate=CA.issue("internal.example", expired=True)) as server:
        got, _ = fetched(server, ca_pem=CA.pem, server_names=("internal.example",))
        assert got == "tls_untrusted"


LEAF = (CA, {"critical": [OID]})
BELOW: tuple[Authority, dict[str, list[str]]] = (ODD_INTERMEDIATE, {})
EXTENSIONS = {
    # Who issued the server's certificate and how, the OIDs tolerated, the code.
    "none": (CA, {}, [], ""),
    "none, one tolerated": (CA, {}, [OID], ""),
    "leaf": (*LEAF, [], "tls_untrusted"),
    "leaf, tolerated": (*LEAF, [OID], ""),
    "leaf, written otherwise": (*LEAF, ["01.3.6.1.4.1.99999.001"], ""),
    "leaf, another tolerated": (*LEAF, [OTHER_OID], "tls_critical_extension"),
    "leaf, one of two tolerated": (
        CA,
        {"critical": [OTHER_OID, OID]},
        [OTHER_OID],
        "tls_critical_extension",
    ),
    "leaf, both tolerated": (CA, {"critical": [OTHER_OID, OID]}, [OID, OTHER_OID], ""),
    "intermediate": (*BELOW, [], "tls_untrusted"),
    "intermediate, tolerated": (*BELOW, [OID], ""),
    "intermediate, another tolerated": (*BELOW, [OTHER_OID], "tls_critical_extension"),
    "intermediate, leaf's tolerated": (
        ODD_INTERMEDIATE,
        {"critical": [OTHER_OID]},
        [OTHER_OID],
        "tls_critical_extension",
    ),
    "root": (ODD_ROOT, {}, [], "tls_untrusted"),
    "root, tolerated": (ODD_ROOT, {}, [OID], ""),
    "root, another tolerated": (ODD_ROOT, {}, [OTHER_OID], "tls_critical_extension"),
    "no OID tolerates nothing": (*LEAF, ["x"], "tls_critical_extension"),
}


@pytest.mark.parametrize(
    ("issuer", "how", "tolerated", "code"), EXTENSIONS.values(), ids=EXTENSIONS.keys()
)
def test_critical_extensions(issuer, how, tolerated, code):
    with Server(answering({}), certificate=issuer.issue("127.0.0.1", **how)) as server:
        got, message = fetched(
            server,
            ca_pem=ROOT.pem + ODD_ROOT.pem + CA.pem,
            critical_extensions=tuple(tolerated),
        )
        assert got == code
        assert bool(server.requests) == (not code)
        if code == "tls_critical_extension":
            assert message == (
                f"can't use \"{server.url()}\": one of the server's certificates has the critical "
                f"extension {OID}, which is not one of unsupported_critical_cert_extensions"
            )


def test_names_and_extensions_at_once():
    certificate = ODD_INTERMEDIATE.issue("internal.example")
    with Server(answering({}), certificate=certificate) as server:
        trust = {"ca_pem": ROOT.pem, "server_names": ("internal.example",)}
        assert fetched(server, **trust)[0] == "tls_untrusted"
        trust["critical_extensions"] = (OTHER_OID,)
        assert fetched(server, **trust)[0] == "tls_critical_extension"
        trust["critical_extensions"] = (OID,)
        assert fetched(server, **trust)[0] == ""


def test_a_tolerated_extension_does_not_replace_a_known_one():
    """Those that OpenSSL knows mean what they say: a server's key may not serve."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = CA.issue("127.0.0.1", critical=[OID], extensions=[usage])
    with Server(answering({}), certificate=certificate) as server:
        got, _ = fetched(server, ca_pem=CA.pem, critical_extensions=(OID, "2.5.29.37"))
        assert got == "tls_untrusted"


def openssl_accepts(oid):
    """Whether the OpenSSL that Python uses takes a critical extension of the leaf."""
    certificate = CA.issue("127.0.0.1", critical=[oid])
    with Server(answering({}), certificate=certificate) as server:
        got, _ = fetched(server, ca_pem=CA.pem)
        return got == ""


@pytest.mark.parametrize("oid", ["2.5.29.16", "2.5.29.46", "1.3.6.1.5.5.7.1.1", OID])
def test_what_we_do_not_know_openssl_does_not_either(oid):
    assert oid not in KNOWN_EXTENSIONS
    assert not openssl_accepts(oid)


KNOWN = {
    "key usage": x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    ),
    "basic constraints": x509.BasicConstraints(ca=False, path_length=None),
    "crl distribution points": x509.CRLDistributionPoints(
        [
            x509.DistributionPoint(
                [x509.UniformResourceIdentifier("http://crl.example/")], None, None, None
            )
        ]
    ),
    "policies": x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)]
    ),
    "policy constraints": x509.PolicyConstraints(5, None),
    "extended key usage": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    "inhibit any policy": x509.InhibitAnyPolicy(5),
    "no check": x509.OCSPNoCheck(),
}


@pytest.mark.parametrize("extension", KNOWN.values(), ids=KNOWN.keys())
@pytest.mark.parametrize("tolerated", [(), (OID,)], ids=["openssl", "ours"])
def test_what_openssl_knows_we_do_too(extension, tolerated):
    assert extension.oid.dotted_string in KNOWN_EXTENSIONS
    certificate = CA.issue("127.0.0.1", extensions=[extension])
    with Server(answering({}), certificate=certificate) as server:
        assert fetched(server, ca_pem=CA.pem, critical_extensions=tolerated) == ("", "")


MATCHES = {
    # Alternative names of the certificate, what is accepted, whether they match.
    "equal": (["a.example"], "a.example", True),
    "case": (["A.Example"], "a.eXAMPLE", True),
    "trailing dot": (["a.example"], "a.example.", True),
    "wildcard": (["*.example"], "a.example", True),
    "wildcard for the domain": (["*.example"], "example", False),
    "wildcard, two labels": (["*.example"], "a.b.example", False),
    "wildcard inside": (["a*.example"], "ab.example", False),
    "wildcard not first": (["a.*.example"], "a.b.example", False),
    "wildcard alone": (["*"], "a", False),
    "wildcard accepted": (["*.example"], "*.example", True),
    "no wildcard for the accepted": (["a.example"], "*.example", False),
    "suffix": (["example"], "a.example", False),
    "empty": ([""], "", False),
    "empty label": (["*.example"], ".example", False),
    "space": (["a.example"], " a.example", False),
    "address": (["10.0.0.1"], "10.0.0.1", True),
    "address in brackets": (["::1"], "[0:0::1]", True),
    "another address": (["10.0.0.1"], "10.0.0.2", False),
    "address as a name": (["*.0.0.1"], "10.0.0.1", False),
    "several": (["x", "a.example"], "a.example", True),
}


@pytest.mark.parametrize(("names", "accepted", "matches"), MATCHES.values(), ids=MATCHES.keys())
def test_matching(names, accepted, matches):
    kinds = [("IP Address" if peer._address(name) else "DNS", name) for name in names]
    certificate = {"subjectAltName": kinds}
    if matches:
        check_names(certificate, [accepted])
        return
    with pytest.raises(PeerRefusedError) as caught:
        check_names(certificate, [accepted])
    assert caught.value.code == "tls_name"


def test_the_subject_is_no_name():
    with pytest.raises(PeerRefusedError):
        check_names({"subject": ((("commonName", "a.example"),),)}, ["a.example"])


def der(pem):
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)


def test_a_certificate_whose_extensions_can_not_be_read_is_refused():
    # An empty extended key usage, which cryptography does not read.
    broken = der(CA.issue("127.0.0.1", critical=["2.5.29.37"]))
    # A version and a kind of name that it does not read either, each with an error of its own.
    good = der(CA.issue("127.0.0.1"))
    version_4 = good.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
    odd_name = good.replace(b"\x87\x04\x7f\x00\x00\x01", b"\xa3\x04\x30\x02\x05\x00", 1)
    assert good not in (version_4, odd_name)
    for certificate in (broken, b"no certificate", version_4, odd_name):
        with pytest.raises(PeerRefusedError) as caught:
            check_extensions([certificate], KNOWN_EXTENSIONS)
        assert caught.value.code == "tls_critical_extension"
        assert (
            caught.value.problem
            == "the extensions of one of the server's certificates can't be read"
        )


def test_extensions_that_are_not_critical_are_nobodys_business():
    check_extensions([der(CA.issue("127.0.0.1"))], frozenset())


@pytest.mark.parametrize(
    ("text", "oid"),
    [("1.2.3", "1.2.3"), ("1.02.003", "1.2.3"), ("1.0.00", "1.0.0"), ("x.1", "x.1"), ("", "")],
)
def test_canonical_oids(text, oid):
    assert canonical_oid(text) == oid


def test_contexts_without_either_setting_are_plain():
    context = client_context(Trust(ca_pem=CA.pem))
    assert context.check_hostname
    assert not context.verify_flags & peer.IGNORE_CRITICAL
    assert context.sslsocket_class is ssl.SSLSocket
    named = client_context(Trust(ca_pem=CA.pem, server_names=("a",)))
    assert not named.check_hostname
    assert not named.verify_flags & peer.IGNORE_CRITICAL
    tolerant = client_context(Trust(ca_pem=CA.pem, critical_extensions=(OID,)))
    assert tolerant.check_hostname
    assert tolerant.verify_flags & peer.IGNORE_CRITICAL
    assert tolerant.verify_mode is ssl.CERT_REQUIRED


def tunnel_to(port):
    """A proxy's answer to CONNECT: whatever comes goes to that port of this host, and back."""

    def copy(source, target):
        # Either end may go away: after a refusal that is what is tested.
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def script(connection, _target):
        with socket.create_connection(("127.0.0.1", port)) as server:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=copy, args=(server, connection))
            back.start()
            copy(connection, server)
            back.join()

    return script


def test_the_checks_hold_through_a_proxy_too(monkeypatch):
    certificate = CA.issue("internal.example", critical=[OID])
    with (
        Server(answering({}), certificate=certificate) as server,
        Server(tunnel_to(server.port)) as proxy,
    ):
        monkeypatch.setenv("https_proxy", proxy.url(""))
        monkeypatch.setattr(server, "url", lambda: "https://issuer.invalid/keys")
        trust = {"ca_pem": CA.pem, "critical_extensions": (OID,)}
        assert fetched(server, **trust)[0] == "tls_name"
        assert fetched(server, **trust, server_names=("other.example",))[0] == "tls_name"
        trust["server_names"] = ("internal.example",)
        assert fetched(server, **trust) == ("", "")
        trust["critical_extensions"] = (OTHER_OID,)
        assert fetched(server, **trust)[0] == "tls_critical_extension"
        assert proxy.targets == ["issuer.invalid:443"] * 4
        assert len(server.requests) == 1


def through_memory(trust, certificate):
    """A handshake of an SSLObject, as within the TLS of a proxy."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(trust).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    ours, theirs = socket.socketpair()
    with ours, theirs, Server(answering({}), certificate=certificate) as server:
        thread = threading.Thread(target=serve_once, args=(server._tls, theirs))
        thread.start()
        try:
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    ours.sendall(outgoing.read())
                    incoming.write(ours.recv(65536))
            ours.sendall(outgoing.read())
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            thread.join()


def serve_once(tls, connection):
    try:
        tls.wrap_socket(connection, server_side=True).close()
    except OSError:
        return


def test_the_checks_hold_within_a_tunnel_too():
    certificate = CA.issue("internal.example", critical=[OID])
    both = {"server_names": ("internal.example",), "critical_extensions": (OID,)}
    through_memory(Trust(ca_pem=CA.pem, **both), certificate)
    for wrong, code in (
        ({"server_names": ("other.example",)}, "tls_name"),
        ({"critical_extensions": (OTHER_OID,)}, "tls_critical_extension"),
    ):
        with pytest.raises(PeerRefusedError) as caught:
            through_memory(Trust(ca_pem=CA.pem, **(both | wrong)), certificate)
        assert caught.value.code == code
