"""Files whose bytes were changed at random: read, or refused in one sentence; nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backend.capture.files import read_capture
from backend.errors import CaptureError
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from tests.backend.capture.test_other_files import bvh
from tests.backend.capture_samples import COUNT, codes, live_link_rows, make_take, write_rows

BYTES = b'0123456789.,;:-+eE"{}[]\n\r\t \x00\xff\xfenaNif_'


def live_link(folder):
    return write_rows(folder / "take.csv", live_link_rows(make_take(), codes(COUNT, 60))[:30])


def audio2face(folder):
    take = {
        "exportFps": 30,
        "numFrames": 20,
        "facsNames": list(BLENDSHAPE_NAMES),
        "weightMat": make_take(20).shapes.tolist(),
    }
    (folder / "take.json").write_text(json.dumps(take))
    return folder / "take.json"


def frames(folder):
    rows = [
        dict(zip(BLENDSHAPE_NAMES, row, strict=True)) | {"time": k / 30}
        for k, row in enumerate(make_take(20).shapes.tolist())
    ]
    (folder / "frames.json").write_text(json.dumps({"frames": rows}))
    return folder / "frames.json"


def body(folder):
    return bvh(folder / "take.bvh")


@pytest.mark.long
@pytest.mark.parametrize("write", [live_link, audio2face, frames, body])
def test_random_damage_is_read_or_refused(tmp_path, write):
    rng = np.random.default_rng(5)
    path = write(tmp_path)
    whole = path.read_bytes()
    head = whole.find(b"\n", 400) if write is live_link else 600
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        reach = head if rng.random() < 0.5 else len(data)  # half of the damage where the names are
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(reach))
            data[at : at + int(rng.integers(0, 3))] = bytes(rng.choice(list(BYTES), int(rng.integers(0, 3))).tolist())
        if rng.random() < 0.2:
            del data[int(rng.integers(len(data))) :]
        path.write_bytes(data)
        try:
            capture = read_capture(path, Reporter())
        except CaptureError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert np.isfinite(capture.blendshapes).all() and (np.diff(capture.times_s) > 0).all()
    assert refused > 10


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"fps": 30, "frames": [{"jawOpen": 10**400}]}),
        json.dumps({"fps": 10**400, "frames": [{"jawOpen": 0.1}]}),
        json.dumps({"fps": "thirty", "frames": [{"jawOpen": 0.1}]}),
        json.dumps({"fps": [30], "frames": [{"jawOpen": 0.1}]}),
        json.dumps({"fps": 30, "frames": [{"jawOpen": {}}]}),
        json.dumps({"fps": 30, "frames": [{"jawOpen": True}]}),
        json.dumps({"fps": 30, "frames": {"jawOpen": []}}),
        json.dumps({"fps": 30, "jawOpen": []}),
        '{"fps": 30, "frames": [{"jawOpen": NaN}]}',
        "[" * 100_000,
        'jawOpen,"' + "x" * 200_000,
        "jawOpen\n" + '"' + "x" * 200_000,
        "HIERARCHY",
        "HIERARCHY ROOT Head { OFFSET 0 0 0 CHANNELS 99999999 Xrotation",
        "HIERARCHY " + "ROOT Head { OFFSET 0 0 0 " * 5000,
        "HIERARCHY ROOT Head { OFFSET 0 1 0 CHANNELS 3 Xrotation Yrotation Zrotation } MOTION Frames: -2 Frame Time: 0.04 1 2 3",
    ],
)
def test_odd_files_are_refused(tmp_path, text):
    path = tmp_path / "take"
    path.write_text(text)
    with pytest.raises(CaptureError):
        read_capture(path, Reporter())
