"""The house speaks the field's words: CONTRIBUTING.md lists them. Words that were retired do not come back."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EVERYWHERE = (
    "backend",
    "synctalk_blender",
    "ops",
    "panels",
    "install",
    "examples",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
)
SUFFIXES = (".py", ".md", ".j2", ".toml")

RETIRED = {
    "picture of a video": (r"pictures?", "frame, image"),
    "film": (r"films?|filmed|filming", "video"),
    "sound as a file or signal": (r"sounds?", "audio"),
    "told of things": (r"told|tells", "measured, predicted, reported, warned; summary()"),
    "mended": (r"mend|mends|mended|mending", "corrected, repaired"),
    "stray": (r"strays?|astray", "residual, sigma"),
    "sights": (r"sights", "observations"),
    "laid over": (r"laid[ _](over|on)|lay(s|ing)?[ _]over", "composited over, aligned to"),
    "learnt": (r"learnt|has[ _]learnt", "trained, fitted, learned"),
    "a look": (r"(an?|each|every|last|next)[ _]look", "evaluation, EvalRecord"),
    "goes on": (r"(goes|go|gone|going|went)[ _]on", "resumes, continues"),
    "a stretch of frames": (r"stretch(es)?[ _]of", "run, interval"),
    "anew": (r"anew", "again"),
    "kept out": (r"kept[ _]out", "validation"),
    "carve": (r"carve|carves|carved|carving|clearance", "visual hull, empty_block_distance"),
    "private constants": (
        r"SPREAD_WEIGHT|HANDED_ON|TOGETHER|FORGET_AFTER|JUMP|LIKENESS|_ALONE|TOLD_BY_TURN_DEG|LEAST_FREEDOM|SKIN_STRAY",
        "the names in CONTRIBUTING.md",
    ),
    "private names": (
        r"driven_by_itself|held_out_by_sound|lip_response|steady_path|has_learnt_what_it_can",
        "self_reenactment, audio_driven_test_frames, lip_gain, pose_smoothing, has_plateaued",
    ),
}
"""What is retired: a pattern of whole words, or of parts of a name, and what to say instead."""

NAMES_OF_OTHERS = re.compile(
    r"bpy\.[\w.]*sounds?\w*|bpy\.types\.\w+|\.sounds\b|\bsounds\.(load|new|remove)\w*|SoundStrip|SoundSequence|new_sound|sound_add|soundfile|"
    r"\.sound\b|\"SOUND\"|'SOUND'|`[^`]*`|https?://\S+|use_sound\w*|TOGETHER_\w+"
)
"""Names of Blender's and of libraries, which are theirs to choose, and quoted code in documents."""


SAVED = re.compile(r"film_transparent|\"sound\"|f\"sound of \{|(SyncTalk )?Laid over")
"""Blender's own property, and what .blend files made before hold: another name there would lose what they have."""


def texts() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *EVERYWHERE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name.endswith(SUFFIXES) and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", RETIRED)
def test_a_retired_word_does_not_come_back(name):
    """Words of names count as well: `mended_frames`, `tellsWhat`. The table of retired words itself may name them."""
    pattern, instead = RETIRED[name]
    word = re.compile(rf"(?<![A-Za-z])({pattern})(?![a-z])", 0 if pattern.isupper() else re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if word.search(SAVED.sub("", NAMES_OF_OTHERS.sub("", line))) and not line.startswith("| ~~")
    ]
    assert not found, f"say {instead}:\n" + "\n".join(found)
