"""The files for HTTPS: read and checked before anything starts, in the form that granian takes."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from kernel.datadir import write_private

logger = logging.getLogger(__name__)

PKCS8 = b"-----BEGIN PRIVATE KEY-----"


class CertificateError(Exception):
    """HTTPS cannot be served; the message names the option and the file, and says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The files of a TLS listener. `client_ca` is empty if clients show no certificate."""

    certificate: str
    key: str
    min_version: str
    client_ca: str = ""


def certificate(options: Any, *, data_dir: Path, now: datetime) -> Certificate:
    """Checks the files that the TLS options name, and returns them with a key for granian.

    granian wants PKCS#8: a key of another form is written in that form to the data directory.

    Raises: CertificateError.
    """
    certificate_file, key_file = options["tls.cert_file"][0], options["tls.key_file"][0]
    key_text = _read("TLS Key Files", key_file)
    key = _private_key(key_file, key_text)
    _check_certificate(certificate_file, key.public_key(), now=now)
    if PKCS8 not in key_text:
        key_file = str(_as_pkcs8(key, data_dir))
    client_ca = options["tls.client_ca_file"] if options["tls.client_auth"] != "none" else ""
    if client_ca:
        _certificates("TLS Client CA Files", client_ca)
    return Certificate(certificate_file, key_file, options["tls.min_version"], client_ca)


def _read(option: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CertificateError(f"{option}: {file} cannot be read: {error.strerror}") from None


def _private_key(file: str, text: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(text, password=None)
    except TypeError:
        problem = "is encrypted, and there is no option for its password"
    except ValueError:
        problem = "holds no private key in PEM format"
    raise CertificateError(f"TLS Key Files: {file} {problem}") from None


def _certificates(option: str, file: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(option, file))
    except ValueError:
        raise CertificateError(f"{option}: {file} holds no certificate in PEM format") from None


def _check_certificate(file: str, key: PublicKeyTypes, *, now: datetime) -> None:
    option = "TLS Certificate Files"
    own = _certificates(option, file)[0]
    if own.public_key() != key:
        problem = f"the first certificate in {file} does not belong to the key"
        raise CertificateError(f"{option}: {problem}")
    if now > own.not_valid_after_utc:
        logger.warning("The certificate in %s expired on %s", file, own.not_valid_after_utc)


def _as_pkcs8(key: PrivateKeyTypes, data_dir: Path) -> Path:
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # Named after the key: two servers that share a data directory may serve different ones.
    path = data_dir / f"tls-{hashlib.sha256(public).hexdigest()[:16]}.key"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(path, private.decode())
    return path
