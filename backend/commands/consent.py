"""The consent of the person shown: asked for, recorded with who, when and for which clip, and tied to that clip."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConsentError

if TYPE_CHECKING:
    from ..progress import Reporter
    from ..workspace.store import Workspace

HELP = "who gave the permission to make a synthetic likeness; recorded"


def record_consent(workspace: Workspace, by: str) -> None:
    """Record that the person shown agrees to a synthetic likeness, as the user confirms."""
    known = workspace.subject.consent
    if known.get("given") and known.get("by") == by and known.get("clip") == workspace.subject.source_sha256:
        return
    workspace.subject.consent = {
        "given": True,
        "by": by,
        "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "clip": workspace.subject.source_sha256,
        "statement": "The person shown agrees that a synthetic likeness of them is made and used.",
    }
    workspace.save()


def tie_consent_to_clip(workspace: Workspace, renewed: bool) -> None:
    """Consent is of the person in one clip: another clip in the same workspace needs its own."""
    consent, clip = workspace.subject.consent, workspace.subject.source_sha256
    if not consent.get("given") or consent.get("clip") == clip:
        return
    workspace.subject.consent = {**consent, "clip": clip} if renewed or "clip" not in consent else {}
    workspace.save()


def check_clip(workspace: Workspace) -> None:
    """Consent is of one clip: the file, where it is still there, must be the one that was processed.

    Raises:
        ConsentError: it is another.
    """
    subject = workspace.subject
    clip = Path(subject.source)
    from ..workspace.files import sha256_of  # not for a help text: it reads NumPy

    if subject.source and clip.is_file() and sha256_of(clip) != subject.source_sha256:
        raise ConsentError(
            f"{clip} is not the clip that {workspace.root} was made from and consent was given for: put that one back, or "
            "run process on the new clip with --consent NAME."
        )


def ask_for_consent(workspace: Workspace, reporter: Reporter) -> str:
    """Ask at a terminal who gave the consent that is not recorded yet; empty where it is recorded, or without a terminal.

    Raises:
        ConsentError: the user gives no name.
    """
    if reporter.ask is None or workspace.subject.consent.get("given"):
        return ""
    name = reporter.ask(
        "This makes a synthetic likeness of the person shown. Who gave the permission for it? (empty to stop)"
    )
    if not name:
        raise ConsentError("A head can only be trained with the person's permission.")
    return name
