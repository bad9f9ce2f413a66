"""Reads and validates the files for HTTPS before the server starts."""

from __future__ import annotations

import logging
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from granian.constants import SSLProtocols

from coderapi.addresses import AddressError

logger = logging.getLogger(__name__)

# The only format of private keys that granian can read.
PKCS8 = b"-----BEGIN PRIVATE KEY-----"


class CertificateError(AddressError):
    """A file for HTTPS is not usable. The message names the option, the file and the cause."""


def tls_arguments(options: Any, *, now: datetime) -> dict[str, Any]:
    """Validates the files that the TLS options name. Returns granian's arguments for them.

    Raises: CertificateError if a file is not usable.
    """
    certificate_file, key_file = options["tls.cert_file"][0], options["tls.key_file"][0]
    key = _private_key(key_file)
    _check_certificate(certificate_file, key.public_key(), now=now)
    arguments = {
        "ssl_cert": Path(certificate_file),
        "ssl_key": Path(key_file),
        "ssl_protocol_min": SSLProtocols[options["tls.min_version"]],
    }
    if options["tls.client_auth"] == "none":
        return arguments
    client_ca = options["tls.client_ca_file"]
    _certificates("TLS Client CA Files", client_ca)
    return arguments | {"ssl_ca": Path(client_ca), "ssl_client_verify": True}


def _read(option: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CertificateError(f"{option}: {file} cannot be read: {error.strerror}") from None


def _private_key(file: str) -> PrivateKeyTypes:
    text = _read("TLS Key Files", file)
    try:
        key = serialization.load_pem_private_key(text, password=None)
        if PKCS8 in text:
            return key
        problem = f"is not in PKCS#8 format. {_conversion(file)}"
    except TypeError:
        problem = f"is encrypted. {_conversion(file)}"
    except ValueError:
        problem = "does not contain a private key in PEM format"
    raise CertificateError(f"TLS Key Files: {file} {problem}")


def _conversion(file: str) -> str:
    command = ["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", file, "-out", f"{file}.pkcs8"]
    return f"Convert it, and set TLS Key Files to the new file: (umask 077; {shlex.join(command)})"


def _certificates(option: str, file: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(option, file))
    except ValueError:
        problem = "does not contain a certificate in PEM format"
        raise CertificateError(f"{option}: {file} {problem}") from None


def _check_certificate(file: str, key: PublicKeyTypes, *, now: datetime) -> None:
    option = "TLS Certificate Files"
    own = _certificates(option, file)[0]
    if own.public_key() != key:
        problem = f"the first certificate in {file} does not match the private key"
        raise CertificateError(f"{option}: {problem}")
    if now > own.not_valid_after_utc:
        logger.warning("The certificate in %s expired on %s", file, own.not_valid_after_utc)
