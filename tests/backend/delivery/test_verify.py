"""`verify` searches the pixels of every format that is delivered, and says of what has none that it was not searched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.commands import export
from backend.commands.verify import ABSENT, FOUND, NOT_SEARCHED, verify
from backend.delivery.watermark import Kind, Marker, Message
from backend.media.codecs import EXR
from backend.media.encodings import ENCODINGS
from backend.media.samples import SIGNAL, StoredFormat
from backend.media.sequence import SequenceWriter
from backend.renderer.colour import to_scene_linear
from tests.backend.delivery.test_watermark import SIDE, textured

pytest.importorskip("c2pa")
CLIP = "ab" * 32


@pytest.fixture(scope="module")
def frame():
    return textured(1)[0]


def written(folder, image, stored=None, passes=None):
    pytest.importorskip("OpenEXR")
    writer = SequenceWriter(folder, EXR, stored=stored)
    writer.write(0, image, passes or {})
    return writer.path(0)


@pytest.mark.parametrize("encoding", ["", *ENCODINGS])
def test_a_complete_exr_frame_is_searched_in_the_encoding_it_was_marked_in(tmp_path, frame, encoding):
    primaries = 9 if encoding in ("hlg", "pq") else 1
    stored = StoredFormat(SIGNAL, SIDE, SIDE, primaries=primaries, encoding=encoding)
    marker = Marker(SIDE, SIDE, Message.of_clip(CLIP, Kind.VIDEO))
    planes = tuple(np.ascontiguousarray(plane, np.float32) / 255 for plane in cv2.split(frame))
    marker.mark_planes(planes, SIGNAL)
    found = verify(written(tmp_path / "marked", cv2.merge(planes), stored))
    assert (found.watermark, found.watermark_clip, found.pieces, found.pieces_marked) == (FOUND, CLIP[:12], 1, 1)


@pytest.mark.parametrize("has_passes", [False, True])
def test_an_exr_frame_of_a_head_alone_is_searched(tmp_path, frame, has_passes):
    y, x = np.mgrid[:SIDE, :SIDE]
    alpha = np.clip((190 - np.hypot(x - 256, y - 280)) / 8, 0, 1).astype(np.float32)[..., None]
    head = np.concatenate([frame / 255 * alpha, alpha], -1).astype(np.float32)
    passes = {"Depth.V": np.zeros((SIDE, SIDE), np.float32)} if has_passes else None
    marked = Marker(SIDE, SIDE, Message.of_clip(CLIP, Kind.FRAMES)).embed_premultiplied(head)
    assert verify(written(tmp_path / "marked", to_scene_linear(marked), passes=passes)).watermark_clip == CLIP[:12]
    assert verify(written(tmp_path / "unmarked", to_scene_linear(head), passes=passes)).watermark == ABSENT


@pytest.mark.parametrize(
    "suffix", sorted({suffix for several in export.SUFFIXES.values() for suffix in several} | {".wav"})
)
def test_what_has_no_pixels_is_said_to_be_not_searched(tmp_path, suffix):
    path = tmp_path / f"head{suffix}"
    path.write_bytes(b"no image")
    found = verify(path)
    assert (found.watermark, found.pieces, found.status) == (NOT_SEARCHED, 0, 1)
    assert "no image that could be searched" in found.summary


def test_an_exr_that_is_damaged_or_has_no_colours_is_not_searched(tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR")
    (tmp_path / "damaged.exr").write_bytes(b"no image")
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Z": np.zeros((8, 8), np.float32)}).write(str(tmp_path / "depth.exr"))
    for name in ("damaged.exr", "depth.exr"):
        assert verify(tmp_path / name).watermark == NOT_SEARCHED
