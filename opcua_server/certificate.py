"""The server's application certificate: made at the first start, kept for as long as it is valid.

Clients trust a server by its certificate, so it must survive restarts. Rule: it is renewed only when it no longer
serves (expired, another application URI, unreadable), and the log says so, because clients have to trust it again.
Source: OPC 10000-6 clause 6.2.2 (application instance certificate).
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from loguru import logger

KEY_BITS: Final = 3072  # both security policies allow 2048 to 4096; NIST SP 800-57 wants 3072 beyond 2030
VALID_DAYS: Final = 3650  # a plant renews certificates by hand
CLOCK_SKEW: Final = datetime.timedelta(days=1)  # a client whose clock is behind still accepts a new certificate
KEY_MODE: Final = 0o600
CERTIFICATE_FILE: Final = "opcua-server.der"
KEY_FILE: Final = "opcua-server.key.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def load_or_make(
    folder: Path, application_uri: str, hosts: Sequence[str], now: datetime.datetime, key_bits: int = KEY_BITS
) -> Identity:
    """Return the identity kept in `folder`; make and keep a new one when there is none that serves.

    hosts  host names and addresses by which clients reach the server, for the subject alternative name
    now    aware UTC
    """
    kept = _load(folder)
    fault = "there is none" if kept is None else unfit(kept, application_uri, now)
    if kept is not None and not fault:
        return kept
    logger.warning("opcua: making a new application certificate ({}); clients have to trust it", fault)
    made = make(application_uri, hosts, now, key_bits)
    _keep(folder, made)
    return made


def unfit(identity: Identity, application_uri: str, now: datetime.datetime) -> str:
    """Return why a kept identity cannot be used, or "" when it can."""
    if identity.certificate.public_key() != identity.key.public_key():
        return "its key is another one's"
    if now >= identity.certificate.not_valid_after_utc:
        return "it has expired"
    names = identity.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if application_uri not in names.get_values_for_type(x509.UniformResourceIdentifier):
        return "it names another application"
    return ""


def make(application_uri: str, hosts: Sequence[str], now: datetime.datetime, key_bits: int) -> Identity:
    """Return a new self-signed identity."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=key_bits)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Wattkeeper OPC UA server"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Wattkeeper"),
        ]
    )
    alternatives = [x509.UniformResourceIdentifier(application_uri), *map(_host_name, hosts)]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,  # self-signed
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(certificate, key)


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _load(folder: Path) -> Identity | None:
    try:
        certificate = x509.load_der_x509_certificate((folder / CERTIFICATE_FILE).read_bytes())
        key = serialization.load_pem_private_key((folder / KEY_FILE).read_bytes(), password=None)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        logger.warning("opcua: the kept certificate or key cannot be read: {}", error)
        return None
    return Identity(certificate, key) if isinstance(key, rsa.RSAPrivateKey) else None


def _keep(folder: Path, identity: Identity) -> None:
    """Write key and certificate; a crash in between leaves a pair that does not match and is made anew."""
    pem = identity.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(folder / KEY_FILE, pem)
    _write(folder / CERTIFICATE_FILE, identity.certificate.public_bytes(serialization.Encoding.DER))


def _write(path: Path, content: bytes) -> None:
    scratch = path.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_MODE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
