"""A certificate authority for tests, and the certificates that it signs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
FORMS = {
    "pkcs8": serialization.PrivateFormat.PKCS8,
    "traditional": serialization.PrivateFormat.TraditionalOpenSSL,
}


def _signing_only() -> x509.KeyUsage:
    others = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **dict.fromkeys(others, False))


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path

    def serving(self) -> ssl.SSLContext:
        """Returns the context of a server with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    def __init__(self, directory: Path, name: str = "tests") -> None:
        self.directory = directory
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        extensions = (x509.BasicConstraints(ca=True, path_length=0), _signing_only())
        builder = self._builder(name, self._key)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        self.file = directory / f"{name}-ca.pem"
        self._sign(builder, self.file)

    def pair(self, name: str, *, form: str = "pkcs8", password: bytes = b"") -> Pair:
        """Makes a certificate for localhost and a key file in that form, encrypted or not."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        pair = Pair(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        alternatives = x509.SubjectAlternativeName(names)
        builder = self._builder(name, key).add_extension(alternatives, critical=False)
        self._sign(builder, pair.certificate)
        encryption = (
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption()
        )
        pem = key.private_bytes(serialization.Encoding.PEM, FORMS[form], encryption)
        pair.key.write_bytes(pem)
        return pair

    def trusting(self, pair: Pair | None = None) -> ssl.SSLContext:
        """Returns a client's context that trusts this authority and presents the pair, if given."""
        context = ssl.create_default_context(cafile=str(self.file))
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    def _sign(self, builder: x509.CertificateBuilder, file: Path) -> None:
        signed = builder.sign(self._key, hashes.SHA256())
        file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(BEGIN + timedelta(days=36500))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        )
