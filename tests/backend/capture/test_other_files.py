"""Audio2Face's JSON, USD, BVH, and CSV and JSON of ARKit's names."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from backend.capture.axes import Y_UP, in_head_frame
from backend.capture.face_capture import FaceCapture
from backend.capture.files import read_capture
from backend.errors import CaptureError
from backend.media.audio import write_wav
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.poses import rotation_exp
from tests.backend.capture_samples import COUNT, make_take, write_rows

FPS = 30


@pytest.fixture
def take():
    return make_take()


def read(path: Path, **options) -> FaceCapture:
    return read_capture(path, Reporter(), **options)


def assert_same(capture: FaceCapture, take, rate: Fraction | int = FPS) -> None:
    assert np.allclose(capture.blendshapes, take.shapes, atol=1e-6) and capture.present.all()
    assert capture.rate == rate and np.allclose(capture.times_s, np.arange(COUNT) / float(rate), atol=1e-6)


def write(path: Path, value) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


# -- Audio2Face --------------------------------------------------------------------------------------------------------


def audio2face(take, **changes):
    order = np.random.default_rng(2).permutation(52)
    return {
        "exportFps": FPS,
        "trackPath": "C:\\takes\\line.wav",
        "numPoses": 52,
        "numFrames": COUNT,
        "facsNames": [BLENDSHAPE_NAMES[k] for k in order],
        "weightMat": take.shapes[:, order].tolist(),
    } | changes


def test_audio2face_is_read_with_the_audio_it_names(tmp_path, take):
    write_wav(tmp_path / "line.wav", [np.ones(16_000, np.float32) * 0.1])
    capture = read(write(tmp_path / "a2f.json", audio2face(take)))
    assert_same(capture, take)
    assert capture.audio == tmp_path / "line.wav"


def test_audio2face_at_59_94(tmp_path, take):
    assert read(write(tmp_path / "a2f.json", audio2face(take, exportFps=59.94))).rate == Fraction(60000, 1001)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"numFrames": 90}, "announces 90 frames and holds 120"),
        ({"exportFps": 0}, "its frame rate is 0, which is no frame rate"),
        ({"exportFps": None}, "states neither times nor a frame rate"),
        ({"weightMat": [[0.1] * 52] * 3 + [[0.1] * 40], "numFrames": 4}, "frame 3: it has 40 values for 52 names"),
        ({"weightMat": [[0.1] * 52] * 3 + [[None] * 52], "numFrames": 4}, r"frame 3: \w+ is None, which is no number"),
        ({"weightMat": [], "numFrames": 0}, "none of ARKit's|has no frames"),
        ({"facsNames": [f"pose{k}" for k in range(52)]}, r"none of ARKit's blendshapes \(it has pose0, pose1, pose2"),
    ],
)
def test_what_audio2face_left_damaged_is_refused(tmp_path, take, changes, match):
    with pytest.raises(CaptureError, match=match):
        read(write(tmp_path / "a2f.json", audio2face(take, **changes)))


# -- JSON and CSV of names ---------------------------------------------------------------------------------------------


def frames_of(take, name=lambda text: text):
    return [
        {name(shape): value for shape, value in zip(BLENDSHAPE_NAMES, row, strict=True)} for row in take.shapes.tolist()
    ]


def media_pipe(take):
    return [
        {"timestampMs": 1000 * k / FPS, "faceBlendshapes": [{"categories": [
            {"categoryName": "_neutral", "score": 0.0},
            *({"categoryName": name, "score": value} for name, value in frame.items()),
        ]}]}
        for k, frame in enumerate(frames_of(take))
    ]  # fmt: skip


@pytest.mark.parametrize(
    "of",
    [
        lambda take: {"fps": FPS, "frames": frames_of(take)},
        lambda take: {
            "fps": FPS,
            "frames": frames_of(take, lambda name: name.replace("Left", "_L").replace("Right", "_R")),
        },
        lambda take: [{"time": k / FPS, "blendShapes": frame} for k, frame in enumerate(frames_of(take))],
        lambda take: {"fps": FPS, "names": list(BLENDSHAPE_NAMES), "frames": take.shapes.tolist()},
        lambda take: {"fps": FPS, **dict(zip(BLENDSHAPE_NAMES, take.shapes.T.tolist(), strict=True))},
        lambda take: {"fps": FPS, "frames": frames_of(make_scaled(take, 100))},
        media_pipe,
    ],
)
def test_json_of_names_is_read(tmp_path, take, of):
    assert_same(read(write(tmp_path / "take.json", of(take))), take)


def make_scaled(take, factor: float):
    return type(take)(take.shapes * factor, take.angles)


def test_json_frames_without_a_face_leave_a_gap(tmp_path, take):
    frames = media_pipe(take)
    frames[50]["faceBlendshapes"] = []
    capture = read(write(tmp_path / "take.json", frames))
    assert np.allclose(capture.blendshapes, np.delete(take.shapes, 50, 0))
    assert np.isclose(capture.times_s[50], 51 / FPS)


@pytest.mark.parametrize(("name", "unit"), [("time", 1.0), ("timestamp_ms", 1000.0), ("Timestamp", 1e9)])
def test_csv_of_names_has_times_in_any_unit(tmp_path, take, name, unit):
    rows = [[name, *BLENDSHAPE_NAMES]]
    rows += [
        [f"{unit * (k / FPS + 5):.9g}" if unit == 1 else f"{unit * (k / FPS + 5):.0f}", *map(str, row)]
        for k, row in enumerate(take.shapes)
    ]
    capture = read(write_rows(tmp_path / "take.csv", rows))
    assert np.allclose(capture.blendshapes, take.shapes) and capture.rate == FPS
    assert np.allclose(capture.times_s, np.arange(COUNT) / FPS, atol=1e-3)


def test_csv_without_times_needs_a_rate(tmp_path, take):
    path = write_rows(tmp_path / "take.csv", [list(BLENDSHAPE_NAMES), *(map(str, row) for row in take.shapes)])
    with pytest.raises(CaptureError, match="states neither times nor a frame rate: give it with --fps"):
        read(path)
    assert_same(read(path, fps=Fraction(25)), take, 25)


def test_csv_frame_numbers_that_were_dropped_leave_a_gap(tmp_path, take):
    numbers = [k + 1000 + 5 * (k >= 60) for k in range(COUNT)]
    rows = [["frame", "jawOpen"], *([str(at), str(row[0])] for at, row in zip(numbers, take.shapes, strict=True))]
    times_s = read(write_rows(tmp_path / "take.csv", rows), fps=Fraction(FPS)).times_s
    assert np.isclose(times_s[60] - times_s[59], 6 / FPS)


# -- USD ---------------------------------------------------------------------------------------------------------------


def usd(path: Path, take, *, names=BLENDSHAPE_NAMES, a_second: float = 24, frames: int = COUNT, up: str = "Y") -> Path:
    """Samples `FPS` a second on a stage of `a_second` time codes, with a head that turns about the axis up, then nods."""
    pytest.importorskip("pxr")
    from pxr import Gf, Usd, UsdGeom, UsdSkel, Vt

    stage = Usd.Stage.CreateNew(str(path))
    stage.SetTimeCodesPerSecond(a_second)
    UsdGeom.SetStageUpAxis(stage, up)
    skeleton = UsdSkel.Skeleton.Define(stage, "/rig/skeleton")
    joints = ["hips", "hips/neck", "hips/neck/head"]
    leaning = Gf.Matrix4d(Gf.Rotation(Gf.Vec3d(1, 0, 0), 90), Gf.Vec3d())
    skeleton.CreateJointsAttr(joints)
    skeleton.CreateRestTransformsAttr(Vt.Matrix4dArray([leaning, Gf.Matrix4d(1), leaning]))
    UsdSkel.Animation.Define(stage, "/rig/body").CreateBlendShapesAttr(["breath"])
    animation = UsdSkel.Animation.Define(stage, "/rig/face")
    animation.CreateBlendShapesAttr(list(names))
    animation.CreateJointsAttr(joints)
    weights, turns = animation.CreateBlendShapeWeightsAttr(), animation.CreateRotationsAttr()
    to_parent = np.array(leaning).T[:3, :3]
    for frame in range(frames):
        code = 1 + frame * a_second / FPS
        weights.Set(take.shapes[frame][: len(names)].tolist(), code)
        turn = to_parent.T @ world_turn(frame) @ to_parent @ to_parent  # its world's turn, on its rest in its parent
        x, y, z, w = _quaternion(turn)
        turns.Set(Vt.QuatfArray([Gf.Quatf(1), Gf.Quatf(1), Gf.Quatf(w, x, y, z)]), code)
    stage.GetRootLayer().Save()
    return path


def world_turn(frame: int) -> np.ndarray:
    return rotation_exp(np.array([0, 0.002 * frame, 0])) @ rotation_exp(np.array([0.003 * frame, 0, 0]))


def _quaternion(turn: np.ndarray) -> list[float]:
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(turn).as_quat().tolist()


@pytest.mark.parametrize("suffix", ["usda", "usdc", "usd"])
def test_usd_is_read_at_its_time_codes(tmp_path, take, suffix):
    assert_same(read(usd(tmp_path / f"take.{suffix}", take)), take)


def test_usd_turns_the_head_from_its_rest(tmp_path, take):
    capture = read(usd(tmp_path / "take.usda", take))
    expected = np.array([in_head_frame(world_turn(frame), Y_UP) for frame in range(COUNT)])
    assert capture.head_turn is not None and np.allclose(capture.head_turn, expected, atol=1e-5)


def test_usd_with_z_up_faces_minus_y(tmp_path, take):
    turn = read(usd(tmp_path / "take.usda", take, up="Z")).head_turn
    assert turn is not None
    # The stage's x stays the image's x: both turns are about other axes of the head than with Y up.
    assert np.allclose(turn[:, 0, 0], [world_turn(frame)[0, 0] for frame in range(COUNT)], atol=1e-5)
    y_up = read(usd(tmp_path / "other.usda", take)).head_turn
    assert y_up is not None and not np.allclose(turn, y_up, atol=1e-2)


def test_usd_without_time_samples_is_refused(tmp_path, take):
    with pytest.raises(CaptureError, match="one moment only|no time samples"):
        read(usd(tmp_path / "take.usda", take, frames=1))


def test_usd_of_other_shapes_gives_the_head_alone(tmp_path, take):
    capture = read(usd(tmp_path / "take.usda", take, names=["smile", "blink"]))
    assert not capture.present.any() and capture.head_turn is not None


def test_damaged_usd_is_refused(tmp_path):
    pytest.importorskip("pxr")
    path = tmp_path / "take.usda"
    path.write_text("#usda 1.0\ndef Xform {{{")
    with pytest.raises(CaptureError, match="no USD stage that can be read"):
        read(path)


# -- BVH ---------------------------------------------------------------------------------------------------------------

BVH = """HIERARCHY
ROOT Hips
{{
  OFFSET 0 {y} {z}
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {{
    OFFSET 0 {y} {z}
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT Neck
    {{
      OFFSET 0 {y} {z}
      CHANNELS 3 Zrotation Xrotation Yrotation
      JOINT {name}
      {{
        OFFSET 0 {y} {z}
        CHANNELS 3 {order}
        End Site
        {{
          OFFSET 0 {y} {z}
        }}
      }}
    }}
  }}
}}
MOTION
Frames: {frames}
Frame Time: 0.0166667
{motion}
"""


def bvh(
    path: Path,
    *,
    name: str = "Head",
    order: str = "Yrotation Xrotation Zrotation",
    y: float = 10,
    z: float = 0,
    frames: int = COUNT,
) -> Path:
    """A body that turns away, and on it a neck that yaws by 0.1° and a head that turns by 0.2, 0.1 and 0.05° a frame."""
    lines = [f"0 90 0 0 0 {k} 0 {k} 0 0 0 {0.1 * k} {0.2 * k} {0.1 * k} {0.05 * k}" for k in range(COUNT)]
    path.write_text(BVH.format(name=name, order=order, y=y, z=z, frames=frames, motion="\n".join(lines)))
    return path


@pytest.mark.parametrize(
    "order", ["Yrotation Xrotation Zrotation", "Zrotation Xrotation Yrotation", "Xrotation Yrotation Zrotation"]
)
def test_bvh_turns_the_head_against_the_torso_in_the_order_of_its_channels(tmp_path, order):
    capture = read(bvh(tmp_path / "take.bvh", order=order))
    assert capture.rate == 60 and not capture.present.any() and capture.head_turn is not None
    frame = 100
    turn = rotation_exp(np.radians([0, 0.1 * frame, 0]))
    for channel, degrees in zip(order.split(), (0.2 * frame, 0.1 * frame, 0.05 * frame), strict=True):
        axis = np.eye(3)["XYZ".index(channel[0])]
        turn = turn @ rotation_exp(np.radians(degrees) * axis)
    assert np.allclose(capture.head_turn[frame], in_head_frame(turn, Y_UP), atol=1e-9)


def test_bvh_with_z_up_yaws_about_z(tmp_path):
    path = bvh(tmp_path / "take.bvh", y=0, z=10, order="Zrotation Xrotation Yrotation")
    head = read(path).head_turn
    assert head is not None
    forward = head[50] @ np.array([0, 0, -1.0])
    assert forward[0] > 0.15, "10° about z, its axis up, faces the right of the image"


def test_bvh_joints_are_the_users_choice(tmp_path):
    path = bvh(tmp_path / "take.bvh", name="Skull")
    with pytest.raises(
        CaptureError, match=r"no joint named head \(it has Hips, Spine, Neck, Skull\): name one with --head-joint"
    ):
        read(path)
    assert read(path, head_joint="skull").head_turn is not None
    assert read(bvh(tmp_path / "mixamo.bvh", name="mixamorig:Head")).head_turn is not None


def test_damaged_bvh_is_refused(tmp_path):
    with pytest.raises(CaptureError, match="announces 121 frames of 15 values and holds 1800"):
        read(bvh(tmp_path / "take.bvh", frames=COUNT + 1))
    path = bvh(tmp_path / "cut.bvh")
    path.write_text(path.read_text()[:300])
    with pytest.raises(CaptureError, match="no whole BVH"):
        read(path)


# -- what is none of these ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02\x03" * 20, "is no text"),
        (b"Kaydara FBX Binary  \x00", "is an FBX file: export it as USD"),
        (b"glTF\x02\x00\x00\x00", "is a glTF file"),
        (b"\x00\x00\x00\x18ftypmp42", "is a video: use capture video"),
        (b"a text about faces\n", "none of ARKit's blendshapes"),
        (b'{"frames": [', "is no whole JSON"),
        (b"[]", "has no frames"),
        (b"3", "none of ARKit's"),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path, data, match):
    path = tmp_path / "take"
    path.write_bytes(data)
    with pytest.raises(CaptureError, match=match):
        read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CaptureError, match="cannot be read"):
        read(tmp_path / "nothing.csv")
