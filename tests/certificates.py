"""A test authority with its certificates, by the script that users have, and spoilt ones."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SCRIPT = Path(__file__).parent.parent / "deploy" / "mosquitto" / "make-test-ca"


def require_openssl() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs the Debian package openssl")


def make_authority(folder: Path, host: str, *names: str) -> Path:
    """Certificates of the broker at `host` and of clients; the folder."""
    require_openssl()
    subprocess.run([SCRIPT, folder, host, *names], check=True, capture_output=True)
    return folder


def issue(
    authority: Path, name: str, *, host: str | None = None, begins: int = -2, days: int = 1
) -> Path:
    """Another certificate of that authority: of a broker where `host` is given, else a client.

    begins: in how many days it becomes valid, for `days`; both may lie in the past.
    """
    ca = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime.now(UTC) + timedelta(days=begins)
    usage = ExtendedKeyUsageOID.SERVER_AUTH if host else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    if host:
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(names, critical=False)
    path = authority / f"{name}.pem"
    path.write_bytes(builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.with_suffix(".key").write_bytes(private)
    path.with_suffix(".key").chmod(0o600)
    return path
