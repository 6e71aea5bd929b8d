"""Films carry the tags of the colours that they are coded in: a reader that goes by them gets what was rendered."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from . import synthetic_workspace as synthetic

ROOT = Path(__file__).resolve().parent.parent.parent
COLOURS = np.array([(200, 40, 30), (30, 180, 60), (40, 50, 210), (220, 200, 40), (128, 128, 128), (230, 120, 160)])
SIZE = 768, 720
"""Large enough for players to take an untagged video for BT.709."""

READ = """
import json, sys
import av
with av.open(sys.argv[1]) as video:
    frame = next(video.decode(video=0))
    image = frame.reformat(format="rgb24", src_colorspace=frame.colorspace, dst_color_range="JPEG").to_ndarray()
    row, step = image[image.shape[0] // 2], image.shape[1] // 6
    matrix, primaries = int(frame.colorspace), int(video.streams.video[0].codec_context.color_primaries)
    print(json.dumps([matrix, primaries, row[step // 2 :: step].tolist()]))
"""


def video_of_colours(kit, form: str, codec: str) -> Path:
    """A video of six patches, in a scene with a head."""
    import bpy

    kit.import_tracking(kit.workspace(frames=3))
    scene = kit.scene
    width, height = SIZE
    image = np.ones((height, width, 4), np.float32)
    for index, colour in enumerate(COLOURS):
        image[:, index * width // 6 : (index + 1) * width // 6, :3] = colour / 255
    synthetic.write_image(kit.tmp_path / "patches.png", image)
    strips = kit.part("scene.audio_strip").strips_of(scene.sequence_editor_create())
    strips.new_image("patches", str(kit.tmp_path / "patches.png"), 9, 1).frame_final_duration = 3
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.render.dither_intensity = 0.0
    scene.frame_end = 2
    path = kit.tmp_path / "video"
    kit.part("scene.output").set_video(scene, path)
    try:
        scene.render.ffmpeg.format, scene.render.ffmpeg.codec = form, codec
    except TypeError:
        pytest.skip(f"this Blender cannot write {codec}")
    bpy.ops.render.render(animation=True)
    return path


FILMS = [("MPEG4", "H264"), ("QUICKTIME", "H264"), ("MPEG4", "AV1"), ("QUICKTIME", "PRORES")]


@pytest.mark.parametrize(("form", "codec"), FILMS)
def test_a_video_is_tagged_with_what_it_is_coded_in(kit, form, codec):
    import bpy

    data = video_of_colours(kit, form, codec).read_bytes()
    place = data.index(b"colr") + 8
    matrix = 1 if bpy.app.version >= (4, 4, 0) else 6
    assert struct.unpack_from(">HHH", data, place) == (1, 1, matrix)
    assert data.count(b"colr") == 1
    if codec == "PRORES":
        heads = [part[14:17] for part in data.split(b"icpf")[1:]]
        assert heads == [b"\1\1\1"] * 2


@pytest.mark.parametrize(("form", "codec"), FILMS)
def test_a_reader_that_goes_by_the_tags_gets_what_was_rendered(kit, python, form, codec):
    path = video_of_colours(kit, form, codec)
    done = subprocess.run(
        [str(python), "-c", READ, str(path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    matrix, primaries, seen = json.loads(done.stdout)
    assert matrix in (1, 6), "tagged, as the decoder sees it"
    assert primaries == 1
    assert np.abs(np.array(seen) - COLOURS).max() <= 3


def test_tags_that_are_there_stay(kit):
    video_colour = kit.part("scene.video_colour")
    path = video_of_colours(kit, "MPEG4", "H264")
    before = path.read_bytes()
    video_colour.tag_colours(path)
    assert path.read_bytes() == before
