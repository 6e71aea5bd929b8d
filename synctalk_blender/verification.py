"""What the backend's `verify` found of a file, in plain words: both layers, and what to do. No `bpy` here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backend.protocol import MARKED, NOT_OURS


@dataclass(frozen=True)
class Verification:
    """Sentences for an artist.

    Attributes:
        status: `protocol.MARKED`, `NOT_OURS` or `ALTERED`.
        headline: what the file is.
        layers: what was found of signature, watermark and note.
        origin: when and from what it was made; empty where no signature says it.
        advice: what to do.
    """

    name: str
    status: int
    headline: str
    layers: tuple[str, ...]
    origin: tuple[str, ...]
    advice: str


_WATERMARK = {"found": "found in the image", "not searched": "not searched, as there is no image in it"}


def in_words(found: Mapping[str, Any]) -> Verification:
    """One of `files` of the result of `verify` (docs/protocol.md)."""
    manifest, has_mark, has_note = found["manifest"], found["watermark"] == "found", found["note"] == "found"
    status = found["status"]
    if status == MARKED:
        is_speech = found["made"].get("content") == "speech"
        what = (
            "The audio that a synthetic likeness speaks, from SyncTalk"
            if is_speech
            else "A synthetic likeness made with SyncTalk"
        )
        headline = f"{what}, unchanged since it was signed."
        advice = "Pass it on as it is: a program that saves it again breaks the signature. Keep a .c2pa file beside it with it."
    elif status == NOT_OURS:
        headline = "No mark of SyncTalk."
        advice = "That does not prove that it is real, or made elsewhere: marks can be removed."
    elif manifest != "absent":
        headline = "Made with SyncTalk, and changed after it was signed."
        advice = "Ask for the file as it was delivered, or render it again."
    elif has_mark:
        headline = "Made with SyncTalk, by the watermark in its image, but not signed."
        advice = (
            "Blender's own renders are not signed before you do it (Sign), and saving a file again in another program removes a "
            "signature."
        )
    else:
        headline = "Its note says that it was made with SyncTalk, but nothing confirms it."
        advice = (
            "Blender's own renders are not signed before you do it (Sign). Of another file ask for the one that was delivered: "
            "anyone can write a note."
        )
    layers = (
        f"Signature: {_signature(manifest, found['signer'])}",
        f"Watermark: {_WATERMARK.get(found['watermark'], 'not found')}",
        f"Note in the metadata: {'found' if has_note else 'none'}",
    )
    return Verification(Path(found["file"]).name, status, headline, layers, tuple(_origin(found)), advice)


def _signature(manifest: str, signer: str) -> str:
    by = signer or "an unknown signer"
    return {
        "valid": f"whole, by {by}, who is on the trust list",
        "untrusted": f"whole, by {by}, for whom nobody vouches",
        "invalid": "does not hold",
        "absent": "none",
    }[manifest]


def _origin(found: Mapping[str, Any]) -> list[str]:
    made, lines = found["made"], []
    if made.get("when"):
        earlier = "head over footage" if "composite" in made.get("source_type", "") else "head alone"
        lines.append(f"Made {made['when']}: {made.get('content', earlier)}")
    if found["clip"]:
        lines.append(f"From this subject's clip: {found['clip']}")
    elif found["source"]:
        lines.append(f"From the clip with SHA-256 {found['source'][:16]}…")
    names = made.get("names") or {}
    return [*lines, *(f"{name.replace('_', ' ').capitalize()}: {text}" for name, text in names.items() if text)]
