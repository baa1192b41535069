"""The certificate authority of one run, which Zoho's real host names are served with.

It exists to be trusted by single programs, and to do no harm if it's trusted elsewhere. Its key is
never written and is forgotten once it has signed the one certificate of the run. It's valid for
days, and for Zoho's domains only.
"""

import base64
import hashlib
import secrets
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

ORGANIZATION = "zoho-wizard simulator"
"""The authority's organization, by which the wizard recognizes it."""
FILE_NAME = "zoho-simulator-authority.pem"
"""The name of the authority's file, by which the wizard recognizes the environment of a program."""
KEY_HASH_LINE = "Server key (SHA-256): "
VALID_DAYS = 7
CLOCK_DIFFERENCE = timedelta(hours=1)
EVERY_IP_ADDRESS = ("0.0.0.0/0", "::/0")


class Authority:
    """An authority and the certificate it issued for `host_names`, which are below `domains`."""

    def __init__(self, host_names: tuple[str, ...], domains: tuple[str, ...]) -> None:
        now = datetime.now(UTC)
        key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        name = x509.Name(
            [
                x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, ORGANIZATION),
                x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Run {secrets.token_hex(8)}"),
            ]
        )
        self.certificate = (
            _builder(name, name, key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(for_certificates=True), critical=True)
            .add_extension(_name_constraints(domains), critical=True)
            .sign(key, SHA256())
        )
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host_names[0])])
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        names = x509.SubjectAlternativeName([x509.DNSName(each) for each in host_names])
        server_usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        self.server_certificate = (
            _builder(subject, name, server_key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(for_certificates=False), critical=True)
            .add_extension(server_usage, critical=False)
            .add_extension(names, critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(key, SHA256())
        )
        self.server_context = _server_context(self.server_certificate, server_key)

    @property
    def server_key_hash(self) -> str:
        """The hash of the server's public key, as Chromium's option takes it:
        `--ignore-certificate-errors-spki-list`.
        """
        public_key = self.server_certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(hashlib.sha256(public_key).digest()).decode()

    def has_issued(self, certificate: bytes) -> bool:
        """Whether a certificate (DER) is of this authority."""
        try:
            x509.load_der_x509_certificate(certificate).verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def write(self, directory: Path) -> Path:
        """Write the authority's certificate, which isn't secret, into `directory`."""
        path = directory / FILE_NAME
        intro = f"The authority of one run of a simulated Zoho\n{KEY_HASH_LINE}"
        text = self.certificate.public_bytes(Encoding.PEM).decode()
        path.write_text(f"{intro}{self.server_key_hash}\n{text}", "utf-8")
        return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_DIFFERENCE)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, for_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not for_certificates,
        key_cert_sign=for_certificates,
        crl_sign=for_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name_constraints(domains: tuple[str, ...]) -> x509.NameConstraints:
    return x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(each) for each in domains],
        # Names of a kind without any permitted one would otherwise be unlimited.
        excluded_subtrees=[x509.IPAddress(ip_network(each)) for each in EVERY_IP_ADDRESS],
    )


def _server_context(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    private_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # The only way into a context is a file. The directory is private, and gone in a moment.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "server.pem"
        path.touch(0o600)
        path.write_bytes(certificate.public_bytes(Encoding.PEM) + private_key)
        context.load_cert_chain(path)
    return context
