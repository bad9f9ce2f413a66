"""Reads and validates the files for HTTPS before the server starts."""

from __future__ import annotations

import logging
import shlex
import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from coderapi.startup.addresses import AddressError

logger = logging.getLogger(__name__)

VERSIONS = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}


class CertificateError(AddressError):
    """A file for HTTPS is not usable. The message names the option, the file and the cause."""


def tls_context(options: Any, *, now: datetime) -> ssl.SSLContext:
    """Validates the files that the TLS options name. Returns the context for connections.

    Raises: CertificateError if a file is not usable.
    """
    certificate_file, key_file = options["tls.cert_file"][0], options["tls.key_file"][0]
    key = _private_key(key_file)
    _check_certificate(certificate_file, key.public_key(), now=now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[options["tls.min_version"]]
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate_file, key_file)
        if options["tls.client_auth"] != "none":
            client_ca = options["tls.client_ca_file"]
            _certificates("TLS Client CA Files", client_ca)
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise CertificateError(f"TLS: the files cannot be used: {error.reason}") from None
    return context


def _read(option: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CertificateError(f"{option}: {file} cannot be read: {error.strerror}") from None


def _private_key(file: str) -> PrivateKeyTypes:
    text = _read("TLS Key Files", file)
    try:
        return serialization.load_pem_private_key(text, password=None)
    except TypeError:
        command = ["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", file, "-out", f"{file}.plain"]
        problem = (
            "is encrypted. Decrypt it, and set TLS Key Files to the new file: "
            f"(umask 077; {shlex.join(command)})"
        )
    except ValueError:
        problem = "does not contain a private key in PEM format"
    raise CertificateError(f"TLS Key Files: {file} {problem}")


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
