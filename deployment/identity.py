"""The deployment's id and web-push key: made once under a lock, and kept."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import transaction

from deployment.models import DeploymentIdentity
from kernel.db.connections import transaction_lock


def deployment_identity() -> DeploymentIdentity:
    """The one identity, made the first time that it is asked for."""
    found = DeploymentIdentity.objects.first()
    if found is not None:
        return found
    with transaction.atomic(), transaction_lock("deployment-identity"):
        return DeploymentIdentity.objects.first() or _make()


def _make() -> DeploymentIdentity:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return DeploymentIdentity.objects.create(
        vapid_private_key=private, vapid_public_key=vapid_public_key(key.public_key())
    )


def vapid_public_key(key: ec.EllipticCurvePublicKey) -> str:
    """The uncompressed P-256 point in unpadded base64url, as browsers want it (RFC 8292)."""
    point = key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()
