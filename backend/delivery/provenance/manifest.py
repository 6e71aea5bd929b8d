"""What a manifest says of a deliverable: C2PA actions, IPTC's source type, the clip, the head and the consent.

Names are those of the C2PA specification 2.2 (actions: 18.15; ingredients: 18.16) and of IPTC's NewsCodes
`digitalsourcetype` (https://cv.iptc.org/newscodes/digitalsourcetype/).
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from ... import __version__
from ...workspace.files import sha256_of
from ...workspace.store import Workspace

PROGRAM = "SyncTalk for Blender"
ASSERTION = "org.synctalk.likeness"
"""Label of our own assertion: the clip, the head and the consent by their hashes."""

_IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@dataclass(frozen=True)
class Content:
    """What a deliverable holds.

    Attributes:
        name: as the manifest and `verify` say it.
        source_type: IPTC's; empty of a recording, which nothing here has made.
        recording_sha256: of the recording that was converted; empty of what is new.
    """

    name: str
    source_type: str = ""
    recording_sha256: str = ""

    @property
    def is_composite(self) -> bool:
        """Whether the clip's own pixels are in it."""
        return self.source_type.endswith("compositeWithTrainedAlgorithmicMedia")


OVER_FOOTAGE = Content("head over footage", _IPTC + "compositeWithTrainedAlgorithmicMedia")
HEAD_ALONE = Content("head alone", _IPTC + "trainedAlgorithmicMedia")
MATTE = Content("matte", _IPTC + "trainedAlgorithmicMedia")
MODEL = Content("head as a model", _IPTC + "trainedAlgorithmicMedia")
MOTION = Content("motion of a face", _IPTC + "trainedAlgorithmicMedia")


SPEECH = Content("speech")
"""The audio that a head speaks, which was recorded, or made, elsewhere."""


def speech_of(recording_sha256: str) -> Content:
    """`SPEECH` that was converted from a recording."""
    return replace(SPEECH, recording_sha256=recording_sha256)


@dataclass(frozen=True)
class Origin:
    """Where a deliverable comes from.

    Attributes:
        clip_sha256: of the footage that the head was trained on.
        consent_sha256: of the consent's record in subject.json; empty where there is none.
        head: kind, checkpoint, step and sha256 of what was rendered; empty where no head was.
        names: who gave the consent, the subject and the clip's file name; empty unless the user asks for them.
    """

    clip_sha256: str
    consent_sha256: str
    head: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, workspace: Workspace, head: Any = None, with_names: bool = False) -> Origin:
        """Of a workspace and the `Checkpoint` that is rendered."""
        subject, rendered = workspace.subject, {}
        if head is not None:
            rendered = {"kind": head.kind, "checkpoint": head.path.name, "sha256": sha256_of(head.path)}
        names = {}
        if with_names:
            clip = subject.source.replace("\\", "/").rpartition("/")[2]
            names = {"consent_by": str(subject.consent.get("by", "")), "subject": subject.name, "clip": clip}
        return cls(subject.source_sha256, consent_hash(subject.consent), rendered, names)


def consent_hash(consent: Mapping[str, Any]) -> str:
    """sha256 of a consent's record: its JSON with sorted keys and without spaces, UTF-8; empty for no consent."""
    if not consent.get("given"):
        return ""
    text = json.dumps(dict(consent), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def definition(origin: Origin, content: Content, title: str) -> str:
    """A manifest's definition as JSON, for c2pa's `Builder`.

    Args:
        title: the deliverable's file name.
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    agent = {"name": PROGRAM, "version": __version__}
    clip = {
        "label": "clip",
        "title": origin.names.get("clip", "source clip"),
        "instance_id": f"sha256:{origin.clip_sha256}",
        "description": f"The clip of the person shown, sha256 {origin.clip_sha256}",
        "relationship": "componentOf" if content.is_composite else "inputTo",
    }
    ingredients = [clip]
    begun: dict[str, Any] = {"when": now, "softwareAgent": agent}
    if recorded := content.recording_sha256:
        ingredients.insert(0, _recording(recorded))
        actions = [
            {"action": "c2pa.opened", **begun, "parameters": {"ingredientIds": ["recording"]}},
            {"action": "c2pa.transcoded", **begun},
        ]
    else:
        actions = [{"action": "c2pa.created", **begun, "digitalSourceType": content.source_type}]
    if content.is_composite:
        actions.append({"action": "c2pa.placed", "when": now, "parameters": {"ingredientIds": ["clip"]}})
    likeness = {
        "program": agent,
        "content": content.name,
        "head": dict(origin.head),
        "clip_sha256": origin.clip_sha256,
        "consent_sha256": origin.consent_sha256,
        "names": dict(origin.names),
    }
    return json.dumps(
        {
            "claim_generator_info": [agent],
            "title": title,
            "ingredients": ingredients,
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": actions}},
                {"label": ASSERTION, "data": {name: item for name, item in likeness.items() if item}},
            ],
        }
    )


def _recording(sha256_hex: str) -> dict[str, str]:
    return {
        "label": "recording",
        "title": "recording",
        "instance_id": f"sha256:{sha256_hex}",
        "description": f"The recording that is spoken, sha256 {sha256_hex}",
        "relationship": "parentOf",
    }
