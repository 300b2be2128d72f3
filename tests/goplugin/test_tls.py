"""AutoMTLS against a host's P-521 certificate, with plain `ssl` on the other side."""

import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.goplugin.host_stand_in import HostIdentity
from vault_jwt_plugin.goplugin import tls
from vault_jwt_plugin.goplugin.errors import ClientCertificateError

HOST = HostIdentity.generate()
OTHER = HostIdentity.generate()
OURS = tls.Identity.generate()


def connect(client, server, *, server_hostname="localhost"):
    """Do the handshake in memory and send a byte; return the client's and the server's object."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=server_hostname),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            break
    assert not waiting
    # In TLS 1.3 the client is done before the server has seen its certificate.
    ends[1].write(b"x")
    assert ends[0].read(1) == b"x"
    return ends


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
def test_the_host_connects_to_us(version):
    host = HOST.context(OURS.certificate_der, server=False)
    host.maximum_version = version
    _, server = connect(host, tls.server_context(OURS, HOST.certificate_pem))
    assert server.selected_alpn_protocol() == "h2"
    assert server.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(HOST.certificate_pem)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
def test_we_connect_to_the_host(version):
    host = HOST.context(OURS.certificate_der, server=True)
    host.maximum_version = version
    client, server = connect(tls.client_context(OURS, HOST.certificate_pem), host)
    assert client.selected_alpn_protocol() == "h2"
    assert server.getpeercert(binary_form=True) == OURS.certificate_der


def test_another_certificate_of_the_same_name_is_refused():
    stranger = OTHER.context(OURS.certificate_der, server=False)
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        connect(stranger, tls.server_context(OURS, HOST.certificate_pem))


def test_no_certificate_is_refused():
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.load_verify_locations(cadata=OURS.certificate_der)
    with pytest.raises(ssl.SSLError, match="peer did not return a certificate"):
        connect(stranger, tls.server_context(OURS, HOST.certificate_pem))


def test_an_impostor_of_the_host_is_refused():
    impostor = OTHER.context(OURS.certificate_der, server=True)
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        connect(tls.client_context(OURS, HOST.certificate_pem), impostor)


def test_another_name_is_refused():
    host = HOST.context(OURS.certificate_der, server=True)
    with pytest.raises(ssl.SSLError, match="Hostname mismatch"):
        connect(tls.client_context(OURS, HOST.certificate_pem), host, server_hostname="example.com")


def test_old_tls_is_refused():
    for context in (
        tls.server_context(OURS, HOST.certificate_pem),
        tls.client_context(OURS, HOST.certificate_pem),
    ):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("pem", "message"),
    [
        pytest.param("nonsense", "PLUGIN_CLIENT_CERT holds no certificate in PEM", id="nonsense"),
        pytest.param("ü", "PLUGIN_CLIENT_CERT holds no certificate in PEM", id="not-ascii"),
        pytest.param(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "PLUGIN_CLIENT_CERT holds no certificate in PEM",
            id="not-der",
        ),
        pytest.param(
            HOST.certificate_pem + OTHER.certificate_pem,
            "PLUGIN_CLIENT_CERT holds more than one certificate",
            id="two",
        ),
    ],
)
@pytest.mark.parametrize("make", [tls.server_context, tls.client_context])
def test_what_is_not_one_certificate_is_refused(make, pem, message):
    with pytest.raises(ClientCertificateError) as caught:
        make(OURS, pem)
    assert caught.value.code == "client_certificate"
    assert str(caught.value) == message


def test_the_certificate_has_the_shape_that_hosts_make():
    ours = x509.load_der_x509_certificate(OURS.certificate_der)
    theirs = x509.load_pem_x509_certificate(HOST.certificate_pem.encode())
    assert ours.subject == ours.issuer == theirs.subject
    assert isinstance(ours.public_key(), ec.EllipticCurvePublicKey)
    for kind in (x509.KeyUsage, x509.BasicConstraints, x509.SubjectAlternativeName):
        assert ours.extensions.get_extension_for_class(kind) == (
            theirs.extensions.get_extension_for_class(kind)
        )
    usages = ours.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    # Hosts treat a sixth field of up to 50 characters as none.
    assert len(OURS.certificate_der) > 50


def test_the_key_is_made_anew_and_not_shown():
    assert tls.Identity.generate().key_pem != OURS.key_pem
    assert "PRIVATE" not in repr(OURS)
