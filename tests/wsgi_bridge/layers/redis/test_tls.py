"""`rediss://`: the server's certificate is checked."""

import datetime
import ipaddress

import pytest

from wsgi_bridge.exceptions import ChannelLayerUnavailable

from .servers import RedisServer, free_port, need_redis

x509 = pytest.importorskip("cryptography.x509")


def make_certificate(folder):
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture
def tls_url(tmp_path):
    need_redis()
    make_certificate(tmp_path)
    port = free_port()
    options = (
        f"tls-port {port}",
        f"tls-cert-file {tmp_path}/cert.pem",
        f"tls-key-file {tmp_path}/key.pem",
        f"tls-ca-cert-file {tmp_path}/cert.pem",
        "tls-auth-clients no",
    )
    try:
        server = RedisServer(*options)
    except AssertionError as exc:
        if "Bad directive" in str(exc):
            pytest.skip("this redis-server was built without TLS")
        raise
    with server:
        yield f"rediss://127.0.0.1:{port}?ca_certs={tmp_path}/cert.pem"


def test_messages_go_over_tls(tls_url, open_redis):
    layer = open_redis(tls_url)
    layer.send("a", {"n": 1})
    assert layer.receive(["a"], True, 5.0) == ("a", {"n": 1})
    assert layer.receive(["a"], True, 0.05) == (None, None)


def test_an_unknown_certificate_is_refused(tls_url, open_redis):
    layer = open_redis(tls_url.partition("?")[0])
    with pytest.raises(ChannelLayerUnavailable, match="CERTIFICATE"):
        layer.send("a", {})
