"""Who made a bundle: Ed25519 (RFC 8032) over its SHA256SUMS, which names every other byte.

The signature is the plain 64 bytes in SHA256SUMS.sig and the keys are PEM, so that OpenSSL checks
it without us: `openssl pkeyutl -verify -pubin -inkey KEY.pub -rawin -in SHA256SUMS -sigfile
SHA256SUMS.sig`. A key signs bundles and nothing else.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.contract.bundle import SIGNATURE, Trust, read_bundle
from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.keyfile import (
    PRIVATE_PEM,
    PUBLIC_PEM,
    parsed,
    read_public,
    read_secret,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

ADVICE = "; make one by inspector bundle keygen"


def make_keys(path: Path) -> Path:
    """Write a new private key to `path` (mode 0600) and its public key beside it as .pub.

    Returns the public key's path. Raises ConfigError where one of them is there already.
    """
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if path.is_dir():
        raise ConfigError(f"{path}: is a folder: name the file of the private key")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()
    )  # unencrypted: what protects it is the file's mode and where it is kept
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    public_path = path.with_name(path.name + ".pub")
    if public_path.exists():
        raise ConfigError(f"{public_path}: is there already; a key is never overwritten")
    _create(path, private, 0o600)
    _create(public_path, public, 0o644)
    return public_path


def trust_in(public_key: Path | None) -> Trust | None:
    """What `read_bundle` asks of a signature; None without a key: then none is needed.

    Raises ConfigError where the key cannot be used, or others may change its file.
    """
    if public_key is None:
        return None
    key = _public_key(public_key)

    def trust(sums: bytes, signature: bytes | None) -> None:
        from cryptography.exceptions import InvalidSignature

        if signature is None:
            raise BundleError(
                f"is not signed, and this station takes only what {public_key} vouches for"
            )
        try:
            key.verify(signature, sums)
        except InvalidSignature:
            raise BundleError(f"{SIGNATURE} is not by the key {public_key}") from None

    return trust


def sign_bundle(folder: Path, private_key: Path) -> Path:
    """Verify a bundle's every byte and sign it; replaces a signature it has. Returns its path.

    Raises BundleError, or ConfigError where the key cannot be used or others may read it.
    """
    key = _private_key(private_key)
    bundle = read_bundle(folder)
    path = bundle.folder / SIGNATURE
    # written beside the bundle: a station that looks just now must not find a strange file in it
    part = bundle.folder.resolve().with_name(f".{bundle.id}.sig.part")
    part.unlink(missing_ok=True)
    _create(part, key.sign(bundle.sums.encode("ascii")), 0o644)
    part.replace(path)
    read_bundle(folder)  # what was signed is what was verified, and so it is still
    return path


def _public_key(path: Path) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    pem = read_public(path)
    key: Ed25519PublicKey = parsed(
        lambda: load_pem_public_key(pem),
        Ed25519PublicKey,
        where=str(path),
        what=PUBLIC_PEM,
        advice=ADVICE,
    )
    return key


def require_key(path: Path) -> None:
    """That bundles can be signed with it, before hours of work. Raises ConfigError."""
    _private_key(path)


def _private_key(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = read_secret(path)
    key: Ed25519PrivateKey = parsed(
        lambda: load_pem_private_key(pem, password=None),
        Ed25519PrivateKey,
        where=str(path),
        what=PRIVATE_PEM,
        advice=ADVICE,
    )
    return key


def _create(path: Path, data: bytes, mode: int) -> None:
    """A new file with this mode from its first moment on, on disk when this returns."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigError(f"{path}: is there already; a key is never overwritten") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
