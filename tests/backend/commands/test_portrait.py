"""The portrait that is asked for is what render and evaluate compose."""

from __future__ import annotations

import numpy as np
import pytest

from backend.commands import evaluate, render
from backend.delivery.footage import FootageWindow, Window, WorkingFrames
from backend.delivery.place import Place
from backend.errors import UsageError
from backend.evaluation.reenactment import Reenactment, held_out_indices, self_reenactment
from backend.media.decode import FrameReader
from backend.portrait_sync.blend import over
from backend.progress import Reporter
from backend.protocol import NO_PORTRAIT, OURS, PAPER
from backend.workspace.images import write_image
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop, Subject

SIZE = 64


def test_frames_are_composed_as_asked(made_up_twin):
    workspace = Workspace.open(made_up_twin)
    frames = held_out_indices(workspace)[:2]
    shown = {
        name: list(self_reenactment(workspace, frames, Reenactment(SIZE, portrait=name), Reporter()))
        for name in (OURS, PAPER, NO_PORTRAIT)
    }
    images = WorkingFrames(workspace, SIZE)
    for number, index in enumerate(frames.tolist()):
        ours, paper, alone = (pairs[number] for pairs in shown.values())
        np.testing.assert_array_equal(ours.predicted, over(ours.rgba, images.plate(index)))
        np.testing.assert_array_equal(alone.predicted, over(ours.rgba, images.background(index)))
        unchanged = (paper.predicted == ours.truth).all(-1)
        assert 0.5 < unchanged.mean() < 1, "the frame around the face, to the last bit"


def test_a_video_is_composed_as_asked(made_up_twin, tmp_path):
    workspace = Workspace.open(made_up_twin)
    track = workspace.head_track()
    animation = workspace.footage_animation(track)
    few = tmp_path / "animation.npz"
    cut = {name: getattr(animation, name)[:2] for name in ("blendshapes", "head_to_camera", "plate_frame")}
    type(animation)(**cut, camera=animation.camera, rate=animation.rate).write(few)
    shown = {}
    for name in (OURS, PAPER):
        out = tmp_path / f"{name}.mp4"
        render.run(
            render.Options(workspace=made_up_twin, out=out, directions=few, size=SIZE, portrait=name), Reporter()
        )
        shown[name] = np.stack([image for _, image in FrameReader(out)]).astype(int)
    frame = WorkingFrames(workspace, SIZE).frame(0).astype(int)
    corner = np.s_[: SIZE // 2, : SIZE // 4]
    assert shown[OURS].shape == shown[PAPER].shape == (2, SIZE, SIZE, 3)
    assert np.abs(shown[OURS] - shown[PAPER]).max() > 8
    assert np.abs(shown[PAPER][0][corner] - frame[corner]).mean() < 6, "but for the video's compression"


def test_a_folder_of_rgba_frames_has_no_portrait(tmp_path):
    with pytest.raises(UsageError, match="--portrait needs complete frames: a path ending in .mp4"):
        render.Options(workspace=tmp_path, out=tmp_path / "frames", portrait=PAPER)
    render.Options(workspace=tmp_path, out=tmp_path / "frames", split="test", portrait=PAPER)
    render.Options(workspace=tmp_path, out=tmp_path / "frames", complete=True, portrait=PAPER)


def test_a_video_that_is_evaluated_has_no_portrait(tmp_path):
    with pytest.raises(UsageError, match="--portrait needs a workspace"):
        evaluate.Options(video=tmp_path / "a.mp4", reference=tmp_path / "b.mp4", portrait=PAPER)


def test_points_of_the_working_frame_are_at_their_place_in_the_footage(tmp_path):
    """The background of a cropped clip, which has a mark in its working frame, shows it where `to_image` says."""
    side = 128
    subject = Subject(
        name="cropped", frames=1, size=side, source_size=(3 * side, 2 * side), crop=Crop(150, 20, 1.5 * side)
    )
    workspace = Workspace(tmp_path, subject)
    marked = np.zeros((side, side, 3), np.uint8)
    marked[40:60, 90:110] = 255
    write_image(workspace.background_path, marked)
    window = Window(50, 8, 120, 100)
    place = Place.in_source(subject, 3 * side // 2, -window.x, -window.y)
    footage = FootageWindow(workspace, place, window)
    rows, columns = np.nonzero(footage.background(0)[..., 0] > 127)
    expected = footage.to_image(np.array([[100.0, 50.0]]))[0]
    np.testing.assert_allclose((columns.mean() + 0.5, rows.mean() + 0.5), expected, atol=0.5)
    in_source = np.array([150, 20]) + np.array([100.0, 50.0]) * subject.scale
    np.testing.assert_allclose(expected + np.array([window.x, window.y]), in_source / 2)
