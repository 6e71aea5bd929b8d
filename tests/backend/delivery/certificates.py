"""Certificates as users have them: good ones, and each fault that C2PA's readers object to."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

EMAIL, DOCUMENTS = ExtendedKeyUsageOID.EMAIL_PROTECTION, x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def named(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Studio Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )


def write_certificate(
    folder: Path, *, purpose=EMAIL, authority=False, ends=NOW + 30 * DAY, begins=NOW - 60 * DAY, password=None
) -> tuple[Path, Path, Path]:
    """PEM files: certificate, its key, and the root that issued it."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def made(name, issuer, public, ca, purposes):
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
        usage |= {"encipher_only": False, "decipher_only": False}
        builder = x509.CertificateBuilder(
            issuer_name=named(issuer),
            subject_name=named(name),
            public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=begins,
            not_valid_after=ends,
        )
        for extension, critical in (
            (x509.BasicConstraints(ca, None), True),
            (x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, **usage), True),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False),
            *(((x509.ExtendedKeyUsage(purposes), False),) if purposes else ()),
        ):
            builder = builder.add_extension(extension, critical)
        return builder.sign(root_key, hashes.SHA256()).public_bytes(Encoding.PEM)

    root = made("Example Root", "Example Root", root_key.public_key(), True, [])
    leaf = made("Anna's Studio", "Example Root", key.public_key(), authority, [purpose])
    paths = folder / "studio.pem", folder / "studio.key", folder / "root.pem"
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    paths[0].write_bytes(leaf)
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    paths[2].write_bytes(root)
    return paths
