"""A shot of either head: frames with the neck in them composite to the video's own image; a switch leaves the neck alone."""

from __future__ import annotations

from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
import soundfile

from backend.commands import render
from backend.commands.verify import verify
from backend.delivery.footage import resized
from backend.delivery.from_footage import Taking
from backend.delivery.marking import Marking
from backend.delivery.provenance import certificate
from backend.delivery.provenance.manifest import HEAD_ALONE, Origin
from backend.delivery.provenance.signing import Seal
from backend.delivery.shot import Shot
from backend.errors import Cancelled, SyncTalkError
from backend.evaluation.reenactment import Reenactment, self_reenactment
from backend.media import decode
from backend.portrait_sync.blend import over
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.training.checkpoints import load_for_rendering
from backend.workspace.arrays import decode_srgb
from backend.workspace.images import read_image
from backend.workspace.poses import turned
from backend.workspace.store import Workspace

SIZE, FRAMES = 96, 2


def shot_of(root, kind, yaw_deg=0.0, **taking):
    """The footage's first frames, the head turned in all of them."""
    workspace = Workspace.open(root)
    head = load_for_rendering(workspace, Reporter(), kind)
    footage = workspace.footage_animation(workspace.head_track(head=head.kind))
    poses = np.stack([turned(pose, yaw_deg, 0.0) for pose in footage.head_to_camera[:FRAMES]])
    animation = replace(
        footage,
        blendshapes=footage.blendshapes[:FRAMES],
        head_to_camera=poses,
        plate_frame=footage.plate_frame[:FRAMES],
    )
    return Shot.of(workspace, head, animation, SIZE, Taking(**taking))


def frames_of(shot, out):
    """The frames that were written, (N, H, W, 4) float32 in [0, 1], premultiplied."""
    shot.write_frames(out, Reporter())
    straight = np.stack([read_image(out / f"{index:06d}.png", channels=4) for index in range(FRAMES)]).astype(
        np.float32
    )
    straight[..., :3] *= straight[..., 3:] / 255
    return straight / 255


@pytest.mark.parametrize("kind", ["field", "gaussians"])
def test_frames_of_a_turned_head_have_its_neck_and_composite_to_the_videos_image(made_up_twin, tmp_path, kind):
    shot = shot_of(made_up_twin, kind, 10.0)
    frames = frames_of(shot, tmp_path / "frames")
    alone = frames_of(shot_of(made_up_twin, kind, 10.0, hair=False, neck=False), tmp_path / "alone")
    neckless = frames_of(shot_of(made_up_twin, kind, 10.0, neck=False), tmp_path / "neckless")
    for index, frame in enumerate(frames):
        rgba = (
            shot.head.renderer().render(shot.camera, shot.animation.head_to_camera[index], shot.conditions[index]).rgba
        )
        np.testing.assert_allclose(alone[index], rgba, atol=1.01 / 255)
        plate = resized(shot.workspace.read_plate(index), (SIZE, SIZE))
        with shot._beneath(index).put(rgba, shot._at(index)) as shown:
            composite = over(shown, plate)
        assert (frame[..., 3] > neckless[index][..., 3] + 0.5).any(), "there is a neck"
        assert np.abs(neckless[index] - alone[index]).max() > 0.1, "there is hair of the footage"
        assert np.abs(over(frame, plate).astype(int) - composite).max() <= 2


@pytest.mark.parametrize("kind", ["field", "gaussians"])
def test_frames_of_the_footages_own_motion_have_its_hair_and_are_else_those_of_the_head_alone(
    made_up_twin, tmp_path, kind
):
    rendered = frames_of(shot_of(made_up_twin, kind, hair=False), tmp_path / "rendered")
    fixed = frames_of(shot_of(made_up_twin, kind, hair=False, neck=False), tmp_path / "alone")
    np.testing.assert_array_equal(rendered, fixed)
    workspace = Workspace.open(made_up_twin)
    for index, frame in enumerate(frames_of(shot_of(made_up_twin, kind), tmp_path / "frames")):
        truth, plate = (resized(read(index), (SIZE, SIZE)) for read in (workspace.read_frame, workspace.read_plate))
        hair = resized(workspace.read_matte(index)[..., 1].copy(), (SIZE, SIZE)) > 250
        apart = [np.abs(over(rgba, plate).astype(int) - truth)[hair].mean() for rgba in (frame, rendered[index])]
        assert hair.any() and apart[0] < 0.25 * apart[1]


def test_frames_without_a_neck_are_no_part_of_a_shot_with_one(trained, tmp_path):
    out = tmp_path / "frames"
    alone = frames_of(shot_of(trained, "field", 10.0, neck=False), out)
    assert not np.array_equal(frames_of(shot_of(trained, "field", 10.0), out), alone)


def test_evaluated_frames_have_a_neck_where_the_jaw_is_not_the_footages(trained):
    workspace = Workspace.open(trained)
    blendshapes = workspace.head_track().blendshapes.copy()
    blendshapes[:, BLENDSHAPE_NAMES.index("jawOpen")] = 0.6
    still, follows = (
        next(self_reenactment(workspace, np.arange(1), how, Reporter(), blendshapes)).predicted.astype(int)
        for how in (Reenactment(SIZE, "field", taking=Taking(hair=False, neck=neck)) for neck in (False, True))
    )
    assert np.abs(still - follows).max() > 4


class Stopping(Reporter):
    """Stops after the first frame."""

    def progress(self, stage, done, total):
        if done == 1:
            raise Cancelled("stopped")


@pytest.mark.parametrize("kind", ["png16", "exr"])
def test_an_interrupted_sequence_resumes(trained, tmp_path, kind):
    shot, out, other = shot_of(trained, "field"), tmp_path / "frames", tmp_path / "other"
    (out / "000009.png").parent.mkdir()
    (out / "000009.png").write_bytes(b"the user's own" if kind == "exr" else b"of another shot")
    with pytest.raises(Cancelled):
        shot.write_frames(out, Stopping(), kind)
    (first,) = out.glob("000000.*")
    written = first.stat().st_mtime_ns, first.stat().st_ino
    assert [path.stem for path in sorted(out.glob(f"0*{first.suffix}"))] == ["000000"]
    (out / f".000001.tmp-1{first.suffix}").write_bytes(b"half of a frame that a kill left")
    shot.write_frames(out, Reporter(), kind)
    assert not list(out.glob(".*"))
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == written
    shot.write_frames(other, Reporter(), kind)
    for index in range(FRAMES):
        name = f"{index:06d}{first.suffix}"
        assert (out / name).read_bytes() == (other / name).read_bytes()
    assert (out / "000009.png").exists() == (kind == "exr"), "files of another format are nobody's frames"


def test_exr_prores_and_png_show_the_same_head_over_black_and_white(trained, tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR")
    shot = shot_of(trained, "field", 10.0)
    shot.write_frames(tmp_path / "exr", Reporter(), "exr")
    shot.write_frames(tmp_path / "png16", Reporter(), "png16")
    shot.write_video(tmp_path / "head.mov", None, Reporter(), codec="prores4444")
    with av.open(str(tmp_path / "head.mov")) as film:
        heads = [frame.to_ndarray(format="rgba64le") for frame in film.decode(video=0)]
    assert len(heads) == FRAMES
    for index in range(FRAMES):
        png = cv2.imread(str(tmp_path / f"png16/{index:06d}.png"), cv2.IMREAD_UNCHANGED)
        straight = cv2.cvtColor(png, cv2.COLOR_BGRA2RGBA) / 65535.0
        with OpenEXR.File(str(tmp_path / f"exr/{index:06d}.exr")) as file:
            exr = file.channels()["RGBA"].pixels.astype(np.float32)
        film = heads[index] / 65535.0
        assert (straight[..., 3] == 0).any() and (straight[..., 3] > 0.99).any()
        np.testing.assert_allclose(exr[..., 3], straight[..., 3], atol=1e-3)
        linear = decode_srgb(straight[..., :3]) * straight[..., 3:]
        np.testing.assert_allclose(exr[..., :3], linear, atol=1e-3)
        assert exr[straight[..., 3] == 0].max() < 1e-4
        for behind in (0.0, 1.0):
            seen, wanted = (rgba[..., :3] * rgba[..., 3:] + behind * (1 - rgba[..., 3:]) for rgba in (film, straight))
            # 10 bits and the codec's own loss; a fringe would be on one side, over one of the two.
            edge = (straight[..., 3] > 0) & (straight[..., 3] < 0.9)
            assert np.abs((seen - wanted)[edge].mean()) < 1 / 255
            assert np.abs(seen - wanted).max() < 12 / 255


def passes_in(path):
    """The channels of a file by their names, float32."""
    OpenEXR = pytest.importorskip("OpenEXR")
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {name.removeprefix("Head."): item.pixels.astype(np.float32) for name, item in file.channels().items()}


def test_passes_are_the_rendered_heads_own(made_up_twin, tmp_path):
    shot = shot_of(made_up_twin, "gaussians", hair=False, neck=False)
    shot.write_frames(tmp_path, Reporter(), "exr", passes=True)
    pixels = passes_in(tmp_path / "000001.exr")
    alpha, depth_m = pixels["Combined.A"], pixels["Depth.Z"]
    inside = alpha > 0.9
    assert inside.any()
    away_m = shot.animation.head_to_camera[1][2, 3]
    assert np.abs(depth_m[inside] - away_m).max() < 0.3
    assert (depth_m[alpha == 0] == 1e10).all() and (alpha == 0).any()
    np.testing.assert_allclose(sum(pixels[f"{name}.X"] for name in ("Mouth", "Hair", "Skin")), alpha, atol=2e-3)
    normals = np.stack([pixels[f"Normal.{axis}"] for axis in "XYZ"], -1)
    np.testing.assert_allclose(np.linalg.norm(normals[inside], axis=-1), 1, atol=1e-3)
    assert (normals[inside][:, 1] < 0).mean() > 0.95, "towards the camera, which looks along Y"


@pytest.mark.parametrize("kind", ["field", "gaussians"])
def test_head_and_neck_are_the_frames_alpha_with_what_it_takes_from_the_footage(made_up_twin, tmp_path, kind):
    shot_of(made_up_twin, kind, 10.0).write_frames(tmp_path, Reporter(), "exr", passes=True)
    pixels = passes_in(tmp_path / "000000.exr")
    alpha, neck = pixels["Combined.A"], pixels["Neck.X"]
    np.testing.assert_allclose(pixels["Head.X"] + neck, alpha, atol=2e-3)
    assert neck.max() > 0.5 and (pixels["Depth.Z"][alpha > 0.01] < 10).all(), "all that is shown has a depth"
    if kind == "field":
        assert not {"Mouth.X", "Hair.X", "Skin.X"} & pixels.keys()


@pytest.mark.parametrize("kind", ["field", "gaussians"])
def test_motion_is_from_the_frame_before_and_to_the_frame_after(made_up_twin, tmp_path, kind):
    shot = shot_of(made_up_twin, kind, hair=False, neck=False)
    poses = np.repeat(shot.animation.head_to_camera[:1], 2, 0)
    poses[1, :2, 3] += 0.02, 0.01
    shapes = np.repeat(shot.animation.blendshapes[:1], 2, 0)
    moved = replace(shot.animation, head_to_camera=poses, blendshapes=shapes)
    shot = replace(shot, animation=moved, conditions=np.repeat(shot.conditions[:1], 2, 0))
    shot.write_frames(tmp_path, Reporter(), "exr", passes=True)
    first, second = passes_in(tmp_path / "000000.exr"), passes_in(tmp_path / "000001.exr")
    inside = (first["Combined.A"] > 0.95) & (second["Combined.A"] > 0.95)
    px = shot.camera.focal_px / poses[0, 2, 3]
    for pixels, (x, y) in ((first, "ZW"), (second, "XY")):
        np.testing.assert_allclose(np.median(pixels[f"Vector.{x}"][inside]), -0.02 * px, rtol=0.15)
        np.testing.assert_allclose(np.median(pixels[f"Vector.{y}"][inside]), 0.01 * px, rtol=0.15)
    for pixels, still in ((first, "XY"), (second, "ZW")):
        assert max(np.abs(pixels[f"Vector.{axis}"]).max() for axis in still) < 1e-3, (
            "nothing before the first, after the last"
        )


def test_a_mov_has_the_users_own_samples_and_the_frames_of_an_mp4(made_up_twin, tmp_path):
    workspace = Workspace.open(made_up_twin)
    footage = workspace.footage_animation(workspace.head_track(head="gaussians"))
    animation = replace(
        footage,
        blendshapes=footage.blendshapes[:5],
        head_to_camera=footage.head_to_camera[:5],
        plate_frame=footage.plate_frame[:5],
    )
    animation.write(tmp_path / "few.npz")
    noise = np.random.default_rng(0).integers(-(2**15), 2**15, (9600, 2)).astype(np.int16)
    soundfile.write(tmp_path / "user.wav", noise, 48000)
    given = {
        "workspace": made_up_twin,
        "directions": tmp_path / "few.npz",
        "audio": tmp_path / "user.wav",
        "size": SIZE,
    }
    for name, codec in (("a.mov", "prores422hq"), ("a.mp4", "h264")):
        render.run(render.Options(out=tmp_path / name, codec=codec, **given), Reporter())
    with av.open(str(tmp_path / "a.mov")) as film:
        assert film.streams.audio[0].start_time == 0
        heard = b"".join(bytes(packet) for packet in film.demux(audio=0))
    assert heard == noise.tobytes()
    (mov, mp4) = ([image for _, image in decode.frames(tmp_path / name)] for name in ("a.mov", "a.mp4"))
    assert len(mov) == len(mp4) == 5
    assert np.abs(np.stack(mov).astype(int) - np.stack(mp4)).mean() < 3


@pytest.mark.parametrize(
    ("out", "given", "sentence"),
    [
        ("a.mp4", {"codec": "prores4444"}, r"ProRes 4444 does not go into \.mp4 files: use \.mov"),
        ("a.mp4", {"format": "exr"}, "--format exr is of a sequence"),
        ("frames", {"passes": True, "format": "png16"}, "--passes are of EXR frames"),
        ("frames", {"codec": "hevc"}, "--codec hevc is of a video"),
        ("a.mov", {"codec": "prores4444", "portrait": "paper"}, "--portrait needs"),
        ("frames", {"codec": "h264", "split": "test"}, "leave --codec and --format out"),
        ("a.mkv", {}, r"\.mkv files are not written"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_rendered(tmp_path, out, given, sentence):
    with pytest.raises(SyncTalkError, match=sentence):
        render.Options(workspace=tmp_path, out=tmp_path / out, **given)


def test_a_marked_shot_is_signed_and_labelled_and_its_frames_are_not_those_of_an_unmarked_one(
    made_up_twin, tmp_path, monkeypatch
):
    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "data"))
    shot, out = shot_of(made_up_twin, "gaussians"), tmp_path / "frames"
    origin = Origin.of(shot.workspace, shot.head)
    plain = frames_of(shot, out)
    marking = Marking(label=True, seal=Seal(certificate.load(), origin, HEAD_ALONE))
    shot.write_frames(out, Reporter(), marking=marking)
    for index in range(FRAMES):
        found = verify(out / f"{index:06d}.png", shot.workspace)
        assert (found.status, found.made["head"]["kind"]) == (0, "gaussians")
        assert not np.array_equal(read_image(out / f"{index:06d}.png", channels=4) / 255, plain[index])
    kept = [(out / f"{index:06d}.png").read_bytes() for index in range(FRAMES)]
    shot.write_frames(out, Reporter(), marking=marking)
    assert kept == [(out / f"{index:06d}.png").read_bytes() for index in range(FRAMES)], "finished frames are kept"
    video = tmp_path / "shot.mp4"
    shot.write_video(video, None, Reporter(), marking=marking)
    assert verify(video).status == 0
    shot.write_frames(tmp_path / "exr", Reporter(), "exr", marking=marking)
    assert verify(tmp_path / "exr" / "000001.exr").status == 0
