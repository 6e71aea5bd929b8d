"""The certificate that signs manifests: the user's, or one that this computer makes for itself.

What C2PA asks of a certificate (C2PA specification 2.2, 14.5 “X.509 certificates”): an end entity's (CA false), key usage
digitalSignature, an extended key usage for e-mail protection, an authority key identifier, an issuer other than itself.
c2pa's signer does not check the dates, so an expired certificate would first be noticed by whoever reads the file.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ProvenanceError, StorageError, WorkspaceError
from ...models import user_folder
from ...workspace.files import atomic_path, held

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes

CERTIFICATE_VARIABLE, KEY_VARIABLE = "SYNCTALK_CERTIFICATE", "SYNCTALK_KEY"
"""Environment variables that name the user's files, where no option does."""

_VALID_FOR = datetime.timedelta(days=3650)
_LOCKED_S = 20.0
"""A certificate is made in less than a second."""
_MINUTE = datetime.timedelta(minutes=1)
_EC_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Certificate:
    """A certificate chain with its private key.

    Attributes:
        chain: PEM, the signing certificate first.
        key: PEM, PKCS #8, not encrypted.
        algorithm: as C2PA names it: es256, es384, es512, ps256, ed25519.
        name: whose it is, as it says.
        own: whether this computer made it, so that nobody else can know whose it is.
    """

    chain: bytes
    key: bytes
    algorithm: str
    name: str
    own: bool


def load(certificate: Path | None = None, key: Path | None = None) -> Certificate:
    """The user's certificate; this computer's own where no files are named.

    Raises:
        ProvenanceError: the files cannot be read, do not belong together, or no reader would accept the certificate.
    """
    certificate = certificate or _named(CERTIFICATE_VARIABLE)
    key = key or _named(KEY_VARIABLE)
    if certificate is None and key is None:
        return _of_this_computer()
    if certificate is None or key is None:
        raise ProvenanceError(
            "Signing needs both a certificate and its private key: give --certificate and --key, PEM files."
        )
    return _checked(certificate, key, own=False)


def own_folder() -> Path:
    """Where this computer's own certificate is kept; it may not exist yet."""
    return user_folder().parent / "provenance"


def _named(variable: str) -> Path | None:
    named = os.environ.get(variable)
    return Path(named).expanduser() if named else None


def _of_this_computer() -> Certificate:
    folder = own_folder()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    with _one_at_a_time(folder):
        if certificate.exists() and key.exists():
            try:
                return _checked(certificate, key, own=True)
            except _Expired:
                pass  # a new one takes its place: what it signed stays readable
        _make(certificate, key)
        return _checked(certificate, key, own=True)


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Processes that sign for the first time at once would leave one's certificate with another's key."""
    until = time.monotonic() + _LOCKED_S
    with contextlib.ExitStack() as stack:
        # A folder that is not to be written may hold a certificate all the same.
        with contextlib.suppress(OSError, StorageError):
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    stack.enter_context(held(folder, "process that signs"))
                    break
                except WorkspaceError:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.05)
        yield


def _make(certificate: Path, key: Path) -> None:
    """A certificate of its own small authority, whose key is thrown away: C2PA refuses a certificate that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    authority_key, signing_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.datetime.now(datetime.timezone.utc)

    def made(name: str, issuer: str, public: ec.EllipticCurvePublicKey, is_authority: bool) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SyncTalk for Blender, unverified")
            return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, text)])

        usage = {
            "content_commitment": False,
            "key_encipherment": False,
            "data_encipherment": False,
            "key_agreement": False,
            "encipher_only": False,
            "decipher_only": False,
        }
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _MINUTE)  # clocks differ
            .not_valid_after(now + _VALID_FOR)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority, **usage
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )
        if not is_authority:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(authority_key, algorithm=_sha256())

    authority, signer = "This computer's own authority", "This computer"
    leaf = made(signer, authority, signing_key.public_key(), False)
    root = made(authority, authority, authority_key.public_key(), True)
    _write_private(key, _private_pem(signing_key))
    with atomic_path(certificate) as temporary:
        temporary.write_bytes(leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM))


def _write_private(path: Path, data: bytes) -> None:
    """Readable by this user alone from its first byte on."""
    with atomic_path(path) as temporary:
        path.parent.chmod(0o700)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)


class _Expired(ProvenanceError):
    pass


def _checked(certificate: Path, key: Path, own: bool) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        chain = certificate.read_bytes()
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except (OSError, ValueError) as error:
        raise ProvenanceError(f"The certificate {certificate} cannot be read ({error}): give a PEM file.") from error
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except TypeError as error:
        raise ProvenanceError(
            f"The key {key} is encrypted: write it without a password (openssl pkcs8 -topk8 -nocrypt)."
        ) from error
    except (OSError, ValueError) as error:
        raise ProvenanceError(f"The key {key} cannot be read ({error}): give a PEM file.") from error
    public = leaf.public_key()
    if _public_bytes(private.public_key()) != _public_bytes(public):
        raise ProvenanceError(f"The key {key} does not belong to the certificate {certificate}: give its own key.")
    now = datetime.datetime.now(datetime.timezone.utc)
    if leaf.not_valid_after_utc < now:
        raise _Expired(
            f"The certificate {certificate} expired on {leaf.not_valid_after_utc:%Y-%m-%d}: renew it, or leave out "
            "--certificate to sign with this computer's own."
        )
    if leaf.not_valid_before_utc > now:
        raise ProvenanceError(
            f"The certificate {certificate} is valid from {leaf.not_valid_before_utc:%Y-%m-%d} on: check this computer's clock."
        )
    if reason := _unsuitable(leaf):
        raise ProvenanceError(
            f"The certificate {certificate} cannot sign C2PA manifests: {reason}; order one for e-mail protection (S/MIME)."
        )
    return Certificate(
        chain, _private_pem(private), _algorithm(public, certificate), leaf.subject.rfc4514_string(), own
    )


def _unsuitable(leaf: x509.Certificate) -> str:
    """Why readers of C2PA would refuse the certificate; empty where they take it."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    def extension(kind: type) -> object | None:
        try:
            return leaf.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None

    basic, usage = extension(x509.BasicConstraints), extension(x509.KeyUsage)
    purposes = extension(x509.ExtendedKeyUsage)
    if isinstance(basic, x509.BasicConstraints) and basic.ca:
        return "it is an authority's own (CA true)"
    if not isinstance(usage, x509.KeyUsage) or not usage.digital_signature:
        return "its key usage lacks digitalSignature"
    if not isinstance(purposes, x509.ExtendedKeyUsage) or ExtendedKeyUsageOID.EMAIL_PROTECTION not in purposes:
        return "its purposes (extended key usage) lack e-mail protection, the one that C2PA's readers accept"
    if extension(x509.AuthorityKeyIdentifier) is None:
        return "it names no authority key (authorityKeyIdentifier)"
    return ""


def _algorithm(public: CertificatePublicKeyTypes, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _EC_ALGORITHMS:
        return _EC_ALGORITHMS[public.curve.name]
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= 2048:
        return "ps256"
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "ed25519"
    raise ProvenanceError(
        f"The key of the certificate {path} is of a kind that C2PA does not take: use P-256, P-384, P-521, Ed25519, or RSA "
        "of 2048 bits or more."
    )


def _public_bytes(public: CertificatePublicKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _private_pem(private: PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _sha256():
    from cryptography.hazmat.primitives.hashes import SHA256

    return SHA256()
