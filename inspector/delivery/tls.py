"""TLS to the broker: which files, and what went wrong in words for the person on shift.

The broker's certificate and its name are always checked: no setting turns that off.
"""

import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

from pydantic import model_validator

from inspector.contract.errors import ConfigError
from inspector.contract.keyfile import read_public, read_secret
from inspector.contract.strict import Strict

# OpenSSL's x509_vfy.h
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED, _SELF_SIGNED_ABOVE, _ISSUER_UNKNOWN, _FIRST_UNKNOWN = 18, 19, 20, 21
_HOST_MISMATCH, _ADDRESS_MISMATCH = 62, 64
# What the other side says of us before it hangs up (RFC 8446, 6.2), by OpenSSL's name for it
_NO_CERTIFICATE = (
    "the broker asks for a client certificate and got none it takes: set tls.cert_file and "
    "tls.key_file"
)
_ALERTS = {
    "CERTIFICATE_REQUIRED": _NO_CERTIFICATE,
    "HANDSHAKE_FAILURE": _NO_CERTIFICATE,
    "UNKNOWN_CA": "the broker does not know who issued our certificate, tls.cert_file",
    "CERTIFICATE_EXPIRED": "the broker says that our certificate, tls.cert_file, has expired",
    "CERTIFICATE_REVOKED": "the broker says that our certificate, tls.cert_file, was revoked",
    "BAD_CERTIFICATE": "the broker does not take our certificate, tls.cert_file",
    "UNSUPPORTED_CERTIFICATE": "the broker does not take our certificate, tls.cert_file: is it "
    "for clients?",
    "CERTIFICATE_UNKNOWN": "the broker does not take our certificate, tls.cert_file",
    "PROTOCOL_VERSION": "the broker speaks none of our versions of TLS: see tls.min_version",
}
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF")


class TlsSettings(Strict):
    """Certificates in PEM. Read at every connect, so that they can be renewed."""

    ca_file: Path | None = None
    """Who may have issued the broker's certificate; left out: whoever this machine trusts."""
    cert_file: Path | None = None
    """Ours, with what lies between it and the broker's authority; left out: we show none."""
    key_file: Path | None = None
    """Of cert_file, unencrypted, for nobody else to read."""
    min_version: Literal["1.2", "1.3"] = "1.2"

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.cert_file is None) is not (self.key_file is None):
            raise ValueError("cert_file and key_file: both or none")
        return self


class _Socket(ssl.SSLSocket):
    """What paho has of a socket that TLS has ended."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's
        try:
            super().do_handshake(block)
        except OSError:
            self.close()  # paho leaves it to the garbage collector
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            # in TLS 1.3 the broker judges our certificate after the handshake: what it said
            # before it hung up may still be there to be read, and is the better reason
            with suppress(ValueError):
                self.recv(1)
            raise


def make_context(settings: TlsSettings, *, what: str = "mqtt.tls.") -> ssl.SSLContext:
    """what: the settings' table, to begin errors with.

    Raises ConfigError where a file cannot be used, or others may read the key.
    """
    context = ssl.create_default_context(cadata=_authorities(settings, what))
    context.sslsocket_class = _Socket
    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    context.minimum_version = versions[settings.min_version]
    if settings.cert_file is not None and settings.key_file is not None:
        _load_ours(context, settings.cert_file, settings.key_file, what)
    return context


def make_server_context(cert: Path, key: Path, *, what: str) -> ssl.SSLContext:
    """For who is connected to: TLS 1.2 or newer, no certificate is asked for.

    what: the settings' table, to begin errors with. Raises ConfigError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_ours(context, cert, key, what)
    return context


def _authorities(settings: TlsSettings, what: str) -> str | None:
    path = settings.ca_file
    if path is None:
        return None
    try:
        text = read_public(path, what=f"{what}ca_file ").decode("ascii")
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise ConfigError(f"{what}ca_file {path}: holds no certificate in PEM") from None
    return text


def _load_ours(context: ssl.SSLContext, cert: Path, key: Path, what: str) -> None:
    read_public(cert, what=f"{what}cert_file ")
    read_secret(key, what=f"{what}key_file ")

    def ask() -> NoReturn:  # without it OpenSSL asks at the terminal
        raise ConfigError(f"{what}key_file {key}: is encrypted; its mode must protect it")

    try:
        context.load_cert_chain(cert, key, password=ask)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"is not the key of {cert}"
        else:
            why = f"this, or {cert}, is not in PEM ({error.reason or error})"
        raise ConfigError(f"{what}key_file {key}: {why}") from None


def certificate_ends(path: Path, *, what: str) -> datetime:
    """Until when the first certificate of a file is valid. Raises ConfigError."""
    from cryptography.x509 import load_pem_x509_certificate

    try:
        certificate = load_pem_x509_certificate(read_public(path, what=f"{what}cert_file "))
    except ValueError:
        raise ConfigError(f"{what}cert_file {path}: holds no certificate in PEM") from None
    return certificate.not_valid_after_utc.astimezone(UTC)


def in_words(error: ssl.SSLError, host: str) -> str:
    """What to do about a connection that TLS has ended."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, host)
    return alert_in_words(error.reason or str(error))


def _of_certificate(error: ssl.SSLCertVerificationError, host: str) -> str:
    match error.verify_code:
        case code if code in (_HOST_MISMATCH, _ADDRESS_MISMATCH):
            return f"the broker's certificate is not for {host!r}: use the name it was issued for"
        case code if code == _EXPIRED:
            return "the broker's certificate has expired, or this machine's clock is wrong"
        case code if code == _NOT_YET_VALID:
            return "the broker's certificate is not valid yet: is this machine's clock right?"
        case code if code in (_SELF_SIGNED, _SELF_SIGNED_ABOVE, _ISSUER_UNKNOWN, _FIRST_UNKNOWN):
            return "the broker's certificate is not issued by whom tls.ca_file names"
    return f"the broker's certificate is not to be trusted: {error.verify_message}"


def alert_in_words(reason: str) -> str:
    """OpenSSL's name for what the other side said before it hung up, or a text with it."""
    text = reason.upper().replace(" ", "_")
    for name, words in _ALERTS.items():
        if f"ALERT_{name}" in text:
            return words
    if any(each in text for each in _NO_TLS):
        return "what answers there does not speak TLS: is it the broker's port for it?"
    if "UNSUPPORTED_PROTOCOL" in text:
        return _ALERTS["PROTOCOL_VERSION"]
    return f"TLS failed: {reason}"
