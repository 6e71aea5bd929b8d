"""Deliverables get their manifest: within the file, or beside it where the format has no room for one."""

from __future__ import annotations

import contextlib
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...errors import ProvenanceError
from ...workspace.files import atomic_path
from .certificate import Certificate
from .manifest import Content, Origin, definition

EMBEDDED = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
    ".wav": "audio/wav",
    ".avi": "video/avi",
}
"""The media types of the formats that hold a manifest; others, such as EXR, WebM, MKV and MXF, have one beside them."""

BESIDE = "application/octet-stream"
"""The media type under which c2pa hashes a file of any other format as a whole."""

_WITHOUT_NETWORK = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_SETTINGS = {**_WITHOUT_NETWORK, "builder": {"thumbnail": {"enabled": False}}}
"""Without thumbnails: by default c2pa puts a copy into each image's manifest, 3.4 MB into a 256² PNG of noise."""


def sidecar_of(path: Path) -> Path:
    """Where the manifest of a file lies whose format has no room for one: `NAME.EXT.c2pa`."""
    return path.with_name(path.name + ".c2pa")


def c2pa_module() -> Any:
    """The package c2pa.

    Raises:
        ProvenanceError: it is not installed.
    """
    try:
        import c2pa
    except (ImportError, OSError) as error:
        raise ProvenanceError(
            f"Manifests need the package c2pa-python, which this environment lacks ({error}): run python3 install backend."
        ) from error
    return c2pa


def context(settings: dict[str, Any] | None = None, signer: Any = None) -> Any:
    """c2pa's context that never goes online."""
    c2pa = c2pa_module()
    return c2pa.Context(c2pa.Settings.from_dict({**_SETTINGS, **(settings or {})}), signer)


class Seal:
    """Signs deliverables of one origin with one certificate; no time stamp authority is asked, so nothing goes online.

    Args:
        origin: what all of them say.
        content: what they hold, where `sign` is not given another.

    Raises:
        ProvenanceError: the package is missing, or c2pa refuses the certificate.
    """

    def __init__(self, certificate: Certificate, origin: Origin, content: Content) -> None:
        c2pa = c2pa_module()
        self._origin, self._content = origin, content
        self._serial = sha256(certificate.chain).hexdigest()
        algorithm = certificate.algorithm.encode()
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, certificate.chain, certificate.key, None))
            self._context = context(signer=signer)
        except c2pa.C2paError as error:
            raise ProvenanceError(f"The certificate cannot sign ({error}): use another with --certificate.") from error

    @property
    def key(self) -> tuple[str, ...]:
        """What the signed files depend on."""
        return (self._serial, self._content.source_type, repr(self._origin))

    def sign(self, path: Path, title: str = "", content: Content | None = None) -> None:
        """Give a complete file its manifest; `path` is replaced when it is signed, and unchanged where that fails.

        Args:
            title: the name that the file will have; its present one when empty.
            content: what this file holds, where that is not the seal's.

        Raises:
            ProvenanceError: signing failed; the unsigned file is there.
            StorageError: the disk is full or the place is read-only; the unsigned file is there.
        """
        c2pa, kind = c2pa_module(), EMBEDDED.get(path.suffix.lower())
        try:
            text = definition(self._origin, content or self._content, title or path.name)
            builder = c2pa.Builder(text, context=self._context)
            if kind is None:
                self._sign_beside(builder, path, sidecar_of(path.with_name(title or path.name)))
                return
            with atomic_path(path) as signed, open(path, "rb") as source, open(signed, "w+b") as target:
                builder.sign(kind, source, target)
        except c2pa.C2paError as error:
            raise ProvenanceError(
                f"{path} is complete but carries no manifest, as signing failed ({error}): "
                "render again, or deliver it unsigned."
            ) from error

    def _sign_beside(self, builder: Any, path: Path, sidecar: Path) -> None:
        builder.set_no_embed()
        # c2pa copies what it signs even then; the copy is of no use
        scratch = path.with_name(f".{path.name}.copy")
        try:
            with open(path, "rb") as source, open(scratch, "w+b") as target:
                manifest = builder.sign(BESIDE, source, target)
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink()
        with atomic_path(sidecar) as temporary:
            temporary.write_bytes(manifest)
