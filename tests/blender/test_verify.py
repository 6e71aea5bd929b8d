"""A file is checked from Blender by the real backend, and what was found is said in plain words."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from . import synthetic_workspace as synthetic

ROOT = Path(__file__).resolve().parent.parent.parent

CLIP = "ab" * 32
SIGN = """
import sys
from pathlib import Path
from backend.delivery.provenance import certificate
from backend.delivery.provenance.manifest import HEAD_ALONE, Origin
from backend.delivery.provenance.signing import Seal
from backend.media.sequence import SequenceWriter
import numpy as np
folder = Path(sys.argv[1])
image = np.full((48, 64, 4), 128, np.uint8)
for index in range(2):
    SequenceWriter(folder).write(index, image)
origin = Origin(clip_sha256=sys.argv[2], consent_sha256="c" * 64, head={"kind": "gaussians", "checkpoint": "a"})
Seal(certificate.load(), origin, HEAD_ALONE).sign(folder / "000000.png")
"""


@pytest.fixture
def kit(kit, real_backend, monkeypatch):
    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(kit.tmp_path / "data"))
    return kit


@pytest.fixture
def signed(kit, python) -> Path:
    """A folder with a signed frame, 000000.png, and one with the note alone, 000001.png."""
    record = kit.workspace() / "subject.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"source_sha256": CLIP}))
    done = subprocess.run(
        [python, "-c", SIGN, kit.tmp_path, CLIP], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "c2pa" in done.stderr and "lacks" in done.stderr:
        pytest.skip("the backend's environment is of an earlier version: it has no c2pa-python")
    assert done.returncode == 0, done.stderr
    return kit.tmp_path


def test_a_signed_file_is_whole_and_a_changed_one_is_not(kit, signed):
    import bpy

    kit.scene.synctalk.workspace = str(kit.tmp_path / "anna")
    found = kit.part("api").verify(signed / "000000.png", scene=kit.scene)
    assert (found.status, found.name) == (0, "000000.png") and "unchanged" in found.headline
    assert found.layers[0].startswith("Signature: whole, by") and found.layers[0].endswith("nobody vouches")
    assert any(line.startswith("From this subject's clip") for line in found.origin)
    data = bytearray((signed / "000000.png").read_bytes())
    at = data.index(b"IDAT") + 20
    data[at] ^= 1
    changed = signed / "changed.png"
    changed.write_bytes(bytes(data))
    assert bpy.ops.synctalk.verify(filepath=str(changed)) == {"FINISHED"}
    found = kit.part("jobs").runtime.verified
    assert found.status == 3 and found.headline == "Made with SyncTalk, and changed after it was signed."
    assert found.layers[0] == "Signature: does not hold" and "render it again" in found.advice


def test_a_note_alone_is_not_a_signature_and_a_file_of_others_has_neither(kit, signed):
    import bpy

    kit.scene.synctalk.verify_file = str(signed / "000001.png")
    assert bpy.ops.synctalk.verify() == {"FINISHED"}
    found = kit.part("jobs").runtime.verified
    assert found.status == 3 and "nothing confirms it" in found.headline and found.layers[0] == "Signature: none"
    synthetic.write_image(signed / "other.png", np.zeros((48, 64, 4)))
    found = kit.part("api").verify(signed / "other.png", scene=kit.scene)
    assert found.status == 1 and found.headline == "No mark of SyncTalk." and "does not prove" in found.advice


def test_what_blender_rendered_is_signed(kit, signed):
    """A scene with a head is noted in the file, whichever engine draws it; the backend's note names nobody."""
    import bpy

    kit.scene.synctalk.workspace = str(kit.tmp_path / "anna")
    kit.import_tracking(kit.tmp_path / "anna")
    kit.scene.render.engine, kit.scene.cycles.samples = "CYCLES", 1
    kit.scene.render.resolution_x = kit.scene.render.resolution_y = 32
    api = kit.part("api")
    for format_, suffix in (("PNG", ".png"), ("TIFF", ".tif"), ("OPEN_EXR", ".exr"), ("JPEG", ".jpg")):
        kit.scene.render.image_settings.file_format = format_
        kit.scene.render.filepath = str(kit.tmp_path / f"blender{suffix}")
        bpy.ops.render.render(write_still=True)
        path = kit.tmp_path / f"blender{suffix}"
        assert api.verify(path, scene=kit.scene).status == 3, format_
        api.sign(path, scene=kit.scene)
        assert api.verify(path, scene=kit.scene).status == 0, format_
    assert bpy.ops.synctalk.sign(filepath=str(path), alone=True) == {"FINISHED"}  # again: it stays as it is
    with pytest.raises(RuntimeError, match="has neither the watermark nor the note of anna"):
        bpy.ops.synctalk.sign(filepath=str(signed / "000001.png"))


def test_a_file_that_is_not_there_is_one_sentence(kit):
    import bpy

    with pytest.raises(RuntimeError, match="There is no file .*nothing.png: choose the one to check"):
        bpy.ops.synctalk.verify(filepath=str(kit.tmp_path / "nothing.png"))


@pytest.mark.parametrize(
    ("manifest", "watermark", "note", "status", "headline"),
    [
        ("valid", "found", "found", 0, "unchanged since it was signed"),
        ("absent", "found", "absent", 3, "by the watermark in its image, but not signed"),
        ("absent", "absent", "absent", 1, "No mark"),
    ],
)
def test_each_finding_has_its_words(import_part, manifest, watermark, note, status, headline):
    found = import_part("synctalk_blender.verification").in_words(
        {
            "file": "/x/a.mp4",
            "status": status,
            "manifest": manifest,
            "watermark": watermark,
            "note": note,
            "source": "",
            "clip": "",
            "made": {},
            "signer": "Anna",
        }
    )
    assert headline in found.headline and found.advice and len(found.layers) == 3
    assert ("found in the image" in found.layers[1]) == (watermark == "found")
