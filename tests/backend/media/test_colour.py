"""The Y'CbCr matrix is the file's; where it states none, the one that its writer used."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from backend.media.decode import frames

DNXHR = {"profile": "dnxhr_hq"}
BLENDER = {"date": "2024/05/17 10:11:12"}
UNTAGGED = 2


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "options", "coded", "tag", "height", "metadata"),
    [
        ("dnxhd", ".mov", "yuv422p", DNXHR, Colorspace.ITU601, 6, 128, {}),
        ("dnxhd", ".mov", "yuv422p", DNXHR, Colorspace.BT2020, 9, 128, {}),
        ("dnxhd", ".mov", "yuv422p", DNXHR, Colorspace.ITU709, 1, 128, {}),
        ("dnxhd", ".mov", "yuv422p", DNXHR, Colorspace.ITU709, UNTAGGED, 128, {}),
        ("prores_ks", ".mov", "yuv422p10le", {}, Colorspace.ITU709, UNTAGGED, 128, {}),
        ("prores_ks", ".mov", "yuv422p10le", {}, Colorspace.ITU601, 6, 128, {}),
        ("libvpx", ".webm", "yuv420p", {"b": "4M"}, Colorspace.ITU709, 1, 128, {}),
        ("libvpx", ".webm", "yuv420p", {"b": "4M"}, Colorspace.ITU601, UNTAGGED, 128, {}),
        ("libx264", ".mp4", "yuv444p", {}, Colorspace.ITU601, UNTAGGED, 128, {}),
        ("libx264", ".mp4", "yuv444p", {}, Colorspace.ITU709, UNTAGGED, 720, {}),
        ("libx264", ".mp4", "yuv444p", {}, Colorspace.ITU601, UNTAGGED, 720, BLENDER),
        ("libx264", ".mkv", "yuv444p", {}, Colorspace.ITU601, UNTAGGED, 720, BLENDER),
        ("libx264", ".mp4", "yuv444p", {}, Colorspace.ITU709, 1, 720, BLENDER),
    ],
)
def test_colours_are_those_that_were_coded(
    tmp_path, clips, codec, suffix, pix_fmt, options, coded, tag, height, metadata
):
    width = height * 2
    colours = np.array([[200, 60, 60], [60, 180, 60], [60, 60, 200], [190, 140, 115]], np.uint8)
    image = np.ascontiguousarray(np.repeat(np.repeat(colours[None], height, 0), width // 4, 1))

    def convert(rgb: np.ndarray) -> av.VideoFrame:
        frame = VideoReformatter().reformat(
            av.VideoFrame.from_ndarray(rgb, "rgb24"), format=pix_fmt, dst_colorspace=coded
        )
        frame.colorspace, frame.color_range = tag, ColorRange.MPEG
        return frame

    path = clips.make(
        tmp_path / f"clip{suffix}",
        [image] * 2,
        codec=codec,
        pix_fmt=pix_fmt,
        options=options or {"crf": "4"} if codec != "prores_ks" else {"profile": "3"},
        # MOV states the matrix only beside the primaries and the transfer.
        tags={"colorspace": tag, "color_range": 1, "color_primaries": tag, "color_trc": {9: 14}.get(tag, tag)},
        metadata=metadata,
        convert=convert,
    )
    shown = next(iter(frames(path)))[1]
    for index, colour in enumerate(colours):
        middle = shown[height // 2, index * width // 4 + width // 8].astype(int)
        assert np.abs(middle - colour).max() <= 4, colour


def test_deinterlacing_keeps_the_matrix(tmp_path, clips):
    colour = np.array([190, 60, 60], np.uint8)

    def convert(rgb: np.ndarray) -> av.VideoFrame:
        frame = VideoReformatter().reformat(
            av.VideoFrame.from_ndarray(rgb, "rgb24"), format="yuv420p", dst_colorspace=Colorspace.ITU709
        )
        frame.colorspace, frame.color_range = 1, ColorRange.MPEG
        return frame

    path = clips.make(
        tmp_path / "tv.mp4",
        [np.broadcast_to(colour, (128, 128, 3)).copy()] * 10,
        options={"x264-params": "tff=1", "crf": "4"},
        tags={"colorspace": 1},
        convert=convert,
    )
    shown = [image[64, 64].astype(int) for _, image in frames(path)]
    assert max(np.abs(pixel - colour).max() for pixel in shown) <= 4
