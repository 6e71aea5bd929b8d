"""Outside the head's box a delivery for the cut loses what its codec loses of the clip's own planes, and no more."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from backend.media.codecs import CODECS
from backend.progress import Reporter
from tests.backend.delivery.made_up_person import FRAMES
from tests.backend.delivery.test_complete import SOURCES, shot_of, untouched, write_clip

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="another program to read with: ffmpeg")
SOURCE = SOURCES["10 bit, 4:2:2, LogC3"]
"""Has the planes that these codecs store, so nothing but the codec changes them."""


def planes_in(path, source):
    """Of each frame, as the program ffmpeg reads them: luma and chroma, (H, W) and (H, W / 2)."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", source.samples.pixels, "-"]
    data = subprocess.run([str(word) for word in command], capture_output=True, check=True).stdout
    height, width = source.height, source.width
    shapes = [(height, width), (height, width // 2), (height, width // 2)]
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    frames = np.frombuffer(data, np.uint16).reshape(-1, ends[-1]).astype(int)
    return [[part.reshape(shape) for part, shape in zip(np.split(f, ends[:-1]), shapes, strict=True)] for f in frames]


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["prores422hq", "dnxhr"])
def test_the_codecs_own_loss_is_all_that_changes_outside_the_head(tmp_path, codec):
    shot, originals = shot_of(tmp_path, SOURCE)
    shot.write_video(tmp_path / "delivered.mov", None, Reporter(), codec=codec)
    chosen = CODECS[codec]
    alone = replace(SOURCE, encoder=chosen.encoder, options=tuple(chosen.options.items()))
    write_clip(tmp_path / "alone.mov", alone, originals)
    delivered, clip = (planes_in(tmp_path / name, SOURCE) for name in ("delivered.mov", "alone.mov"))
    assert len(delivered) == FRAMES
    for ours, its_own, original in zip(delivered, clip, originals, strict=False):
        for plane, lost, values in zip(ours, its_own, original, strict=True):
            outside = untouched(SOURCE, plane.shape)
            loss, reference = (np.abs(read - values.astype(int))[outside] for read in (plane, lost))
            # The head takes other bits of a frame than what it covers: the quantiser of the rest may differ by a step.
            assert reference.mean() > 0 and loss.mean() < 1.1 * reference.mean() + 0.01
            assert loss.max() <= 1.25 * reference.max() + 1
            assert abs((plane - values.astype(int))[outside].mean()) < 0.1, "nothing is shifted in value"
            shifted = np.abs(plane[:, 1:] - values[:, :-1].astype(int))[outside[:, 1:]].mean()
            assert loss.mean() < 0.5 * shifted, "nor in place"
