"""What a file's manifest says, and whether the file is still what was signed, by c2pa's own reader."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ProvenanceError
from .manifest import ASSERTION, PROGRAM
from .signing import BESIDE, EMBEDDED, c2pa_module, context, sidecar_of

VALID, UNTRUSTED, INVALID, ABSENT = "valid", "untrusted", "invalid", "absent"
_UNTRUSTED_CODE = "signingCredential.untrusted"
_PATH_LENGTH = 32
"""Manifests that are followed back, through programs that edited a file one after the other."""


@dataclass(frozen=True)
class Manifest:
    """What the manifest of a file says.

    Attributes:
        state: `valid` (whole, and the signer is trusted), `untrusted` (whole, the signer is on no list), `invalid`
            (file or manifest was changed after signing), `absent`.
        ours: whether this program's manifest is there, as the newest or further back.
        edited_with: the program that signed last, where that is another.
        signer: the newest certificate's name.
        likeness: our assertion; empty where it is not ours.
        created: our first action: what was made, or of a recording, when it was opened.
        failures: c2pa's codes of what does not hold.
    """

    state: str
    ours: bool = False
    edited_with: str = ""
    signer: str = ""
    likeness: Mapping[str, Any] = field(default_factory=dict)
    created: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing was changed after our signature."""
        return self.state in (VALID, UNTRUSTED) and not self.edited_with


def read_manifest(path: Path, trust: Path | None = None) -> Manifest:
    """Read and check the manifest in a file or beside it. Nothing goes online.

    Args:
        trust: PEM of the authorities that are trusted; none are without it.

    Raises:
        ProvenanceError: the package is missing, or a file cannot be read.
    """
    c2pa = c2pa_module()
    settings = {}
    try:
        if trust is not None:
            settings = {"trust": {"trust_anchors": trust.read_text("utf-8")}}
        with open(path, "rb") as file:
            beside = sidecar_of(path)
            kind = EMBEDDED.get(path.suffix.lower())
            manifest = beside.read_bytes() if kind is None and beside.exists() else None
            if kind is None and manifest is None:
                return Manifest(ABSENT)
            reader = c2pa.Reader(kind or BESIDE, file, manifest, context=context(settings))
    except OSError as error:
        raise ProvenanceError(f"{error.filename or path} cannot be read ({error.strerror}): check its path.") from error
    except UnicodeDecodeError as error:
        raise ProvenanceError(f"{trust} is no list of certificates: give a PEM file.") from error
    except c2pa.C2paError.ManifestNotFound:
        return Manifest(ABSENT)
    except c2pa.C2paError as error:
        damaged = contains(
            path, ASSERTION
        )  # c2pa cannot read the file at all: it is cut off, or not what its name says
        return Manifest(INVALID if damaged else ABSENT, ours=damaged, failures=(str(error),))
    with contextlib.closing(reader):
        return _manifest_of(reader)


def contains(path: Path, text: str) -> bool:
    """Whether a file of any format has a text somewhere in it, as a note in its metadata is."""
    wanted, kept = text.encode(), b""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            if wanted in kept + block:
                return True
            kept = block[-len(wanted) :]
    return False


def _manifest_of(reader: Any) -> Manifest:
    results = (reader.get_validation_results() or {}).get("activeManifest", {})
    failures = tuple(item["code"] for item in results.get("failure", ()) if item["code"] != _UNTRUSTED_CODE)
    state = {"Trusted": VALID, "Valid": UNTRUSTED}.get(reader.get_validation_state() or "", INVALID)
    active = reader.get_active_manifest() or {}
    signature = active.get("signature_info", {})
    signer = ", ".join(item for item in (signature.get("common_name"), signature.get("issuer")) if item)
    newest = _program(active)
    for manifest in _back_from(reader, active):
        if _program(manifest) == PROGRAM:
            assertions = {item.get("label"): item.get("data", {}) for item in manifest.get("assertions", ())}
            actions: dict[str, Any] = next(
                (data for label, data in assertions.items() if str(label).startswith("c2pa.actions")), {}
            )
            created: dict[str, Any] = next(
                (item for item in actions.get("actions", ()) if item.get("action") in ("c2pa.created", "c2pa.opened")),
                {},
            )
            other = "" if manifest is active else newest or "another program"
            return Manifest(state, True, other, signer, assertions.get(ASSERTION, {}), created, failures)
    return Manifest(state, signer=signer, edited_with=newest, failures=failures)


def _back_from(reader: Any, active: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The newest manifest, then those of what it was made from."""
    waiting: list[dict[str, Any]] = [active]
    seen: set[str] = set()
    while waiting and len(seen) < _PATH_LENGTH:
        manifest = waiting.pop(0)
        yield manifest
        for ingredient in manifest.get("ingredients", ()):
            label = ingredient.get("active_manifest")
            if label and label not in seen:
                seen.add(label)
                waiting.append(reader.get_manifest(label) or {})


def _program(manifest: Mapping[str, Any]) -> str:
    found = manifest.get("claim_generator_info") or [{}]
    return str(found[0].get("name", ""))
