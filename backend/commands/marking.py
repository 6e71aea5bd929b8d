"""Options with which a command marks what it delivers."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProvenanceError, UsageError
from ..progress import Reporter
from .option import option

if TYPE_CHECKING:
    from ..delivery.provenance.manifest import Content
    from ..delivery.provenance.signing import Seal
    from ..training.checkpoints import Checkpoint
    from ..workspace.store import Workspace

OWN = "this computer's own certificate, which is on no trust list: viewers show an unknown signer (docs/provenance.md)"


@dataclass(frozen=True)
class Signer:
    """Who signs a manifest, and whom it names."""

    certificate: Path | None = option(
        "PEM of the certificate that signs (SYNCTALK_CERTIFICATE, else this computer's)", None
    )
    key: Path | None = option("PEM of its private key (SYNCTALK_KEY)", None)
    with_names: bool = option("name the person who gave consent, the subject and the clip in the manifest", False)


@dataclass(frozen=True)
class Signature(Signer):
    """How the manifest of a delivery is signed."""

    unsigned: bool = option("write no signed manifest", False)

    @property
    def signature(self) -> dict[str, Any]:
        """These options alone, for another command's."""
        return {item.name: getattr(self, item.name) for item in fields_of(Signature)}


def open_seal(
    options: Signature, workspace: Workspace, head: Checkpoint | None, content: Content, reporter: Reporter
) -> tuple[Seal | None, str]:
    """What signs, and in words whose certificate it is; called before the work, which a certificate must not cost.

    Args:
        content: what the delivery holds.

    Raises:
        ProvenanceError: the user's certificate does not suit.
    """
    from ..delivery.provenance import signing

    if options.unsigned:
        if options.certificate or options.key:
            raise UsageError("--unsigned takes no --certificate and no --key")
        return None, ""
    try:
        signing.c2pa_module()
    except ProvenanceError as error:
        if options.certificate or options.key:
            raise
        reporter.warning(f"The delivery is not signed. {error}")
        return None, ""
    return seal_of(options, workspace, head, content)


def seal_of(options: Signer, workspace: Workspace, head: Checkpoint | None, content: Content) -> tuple[Seal, str]:
    """What signs, and in words whose certificate it is.

    Raises:
        ProvenanceError: the package c2pa-python is missing, or the user's certificate does not suit.
    """
    from ..delivery.provenance import certificate, manifest, signing

    loaded = certificate.load(options.certificate, options.key)
    origin = manifest.Origin.of(workspace, head, options.with_names)
    seal = signing.Seal(loaded, origin, content)
    return seal, OWN if loaded.own else loaded.name


def sign_speech(seal: Seal | None, path: Path | None, recording: Path | None, workspace: Workspace) -> None:
    """Sign the audio that a head speaks, where there is any.

    Args:
        recording: what it was made of; None for the clip's own audio.

    Raises:
        ProvenanceError: signing failed; the unsigned file is there.
    """
    from ..delivery.provenance.manifest import speech_of
    from ..workspace.files import sha256_of

    if seal is not None and path is not None:
        seal.sign(path, content=speech_of(sha256_of(recording) if recording else workspace.subject.source_sha256))
