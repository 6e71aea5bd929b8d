"""A camera that moves: its motion is found to a fraction of a pixel, and mattes and plates are as good as from a tripod."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from backend.delivery.footage import WorkingFrames
from backend.portrait_sync import stage
from backend.portrait_sync.frame import split_frame
from backend.portrait_sync.learn import learn_clip
from backend.portrait_sync.moving_camera import camera_motion
from backend.portrait_sync.moving_camera.camera_report import describe, shown_part
from backend.portrait_sync.moving_camera.moving import MovingCamera
from backend.portrait_sync.moving_camera.registration import moved_places, pixels
from backend.progress import Reporter
from backend.workspace.camera import Camera
from backend.workspace.camera_path import CameraPath
from backend.workspace.images import write_image
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop, Subject
from tests.backend.made_up_track import make_track

from .conftest import draw

SIDE, COUNT = 256, 24
PLACES = np.array([[x, y] for x in (0.05, 0.5, 0.95) for y in (0.05, 0.5, 0.95)])


def textured_wall(side: int) -> np.ndarray:
    """A wall with detail of several sizes, (side, side, 3) float32."""
    random = np.random.default_rng(3)
    image = np.full((side, side, 3), (95, 125, 110), np.float32)
    for cell, strength in ((64, 25), (16, 18), (6, 14)):
        noise = random.uniform(-1, 1, (side // cell + 1, side // cell + 1, 3)).astype(np.float32)
        image += strength * cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255)


def pan(index: int) -> np.ndarray:
    """(3, 3) from places of a frame to those of the wall: a pan by two fifths of the frame and back, held in the hand."""
    phase = 2 * np.pi * index / COUNT
    angle, scale = 0.01 * np.sin(3 * phase), 1 + 0.01 * np.cos(2 * phase)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    x, y = 0.5 - 0.2 * np.cos(phase) + 0.004 * np.sin(9 * phase), 0.45 + 0.01 * np.sin(7 * phase)
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


def zoom(index: int) -> np.ndarray:
    scale = 1.25 - 0.25 * index / (COUNT - 1)
    shift = 0.5 + 0.5 * (1 - scale)
    return np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1.0]])


def turn(index: int) -> np.ndarray:
    """A wide lens that turns by 12 degrees: no similarity."""
    x, y, z = np.radians([2 * np.sin(0.3 * index), -6 + 12 * index / (COUNT - 1), np.sin(0.2 * index)])
    rotation = cv2.Rodrigues(np.array([x, y, z]))[0]
    lens = np.array([[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    return np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]) @ lens @ rotation @ np.linalg.inv(lens)


@pytest.fixture(scope="module")
def person():
    return draw(COUNT, SIDE)


def filmed(person, motion):
    """The clip's frames (N, S, S, 3) uint8 and the background in each, as a camera in `motion` before a wall shows it."""
    wall = textured_wall(2 * SIDE)
    frames, walls = [], []
    for index, (frame, matte) in enumerate(zip(person.frames, person.person, strict=True)):
        warp = pixels(SIDE) @ motion(index) @ np.linalg.inv(pixels(SIDE))
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        behind = cv2.warpPerspective(wall, warp, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT)
        change = (1 - matte)[..., None] * (behind - person.background.astype(np.float32))
        frames.append(np.clip(np.rint(frame + change), 0, 255).astype(np.uint8))
        walls.append(behind)
    return np.stack(frames), np.stack(walls)


def learned(person, frames, **options):
    probabilities = {frame.tobytes(): person.probability[index] for index, frame in enumerate(frames)}
    usable = np.ones(len(frames), bool)
    return learn_clip(
        frames.__getitem__, lambda frame: probabilities[frame.tobytes()], person.landmarks, usable, **options
    )


@pytest.fixture(scope="module", params=[pan, zoom, turn], ids=lambda motion: motion.__name__)
def clip(request, person):
    frames, walls = filmed(person, request.param)
    return request.param, frames, walls, learned(person, frames)


def test_motion_is_found_to_a_tenth_of_a_pixel_and_without_drift(clip):
    motion, frames, _, model = clip
    path = model.camera
    assert path is not None
    assert np.isfinite(path.residual_px).all()
    first = np.linalg.inv(path.to_reference[0])
    errors = [
        SIDE
        * np.linalg.norm(
            moved_places(PLACES, first @ path.to_reference[index])
            - moved_places(PLACES, np.linalg.inv(motion(0)) @ motion(index)),
            axis=1,
        )
        for index in range(len(frames))
    ]
    assert np.mean(errors) < 0.12
    assert np.max(errors) < 0.5


def test_the_mosaic_seen_by_a_frame_is_its_background(clip):
    motion, frames, walls, model = clip
    for index in (0, 8, 23):
        seen_by = model.at(index, SIDE)
        seen = cv2.erode(seen_by.seen.astype(np.uint8), np.ones((3, 3))) > 0
        error = (seen_by.background.astype(float) - walls[index])[seen]
        psnr = 10 * np.log10(255**2 / np.mean(error**2))
        assert psnr > 34
        assert seen.mean() > 0.6


def test_mattes_and_plates_are_as_from_a_tripod(clip, person):
    motion, frames, walls, model = clip
    still = learned(person, person.frames)
    for index in (3, 17):
        answer = person.probability[index], person.landmarks[index]
        mattes, plate = split_frame(frames[index], model.at(index, SIDE), *answer)
        before = split_frame(person.frames[index], still, *answer)[0]
        error, least = (np.abs(matte[..., 3] / 255 - person.person[index]).mean() for matte in (mattes, before))
        assert error < 1.5 * least + 0.001
        behind = (person.head[index] > 0.99) & model.at(index, SIDE).seen & (np.arange(SIDE) < 0.3 * SIDE)[:, None]
        if behind.sum() > 100:
            assert np.abs(plate[behind] - walls[index][behind]).mean() < 6


def test_a_still_camera_is_never_registered(person, monkeypatch):
    monkeypatch.setattr(MovingCamera, "register", lambda *_: pytest.fail("a still camera was registered"))
    still = learned(person, person.frames)
    assert still.camera is None
    assert still.at(5, SIDE) is still, "the same arrays, bit for bit"
    assert describe(still, Subject(size=SIDE), Camera(SIDE, SIDE, 500.0, (128.0, 128.0))) == []


def test_a_cut_to_another_place_is_refused_in_one_sentence(person):
    frames, _ = filmed(person, pan)
    other, _ = filmed(replace(person), lambda index: np.array([[-1, 0, 1.5], [0, 1, 0.4], [0, 0, 1]]) @ pan(index))
    frames[COUNT // 2 :] = other[COUNT // 2 :]
    model = learned(person, frames)
    assert model.camera is None
    ((level, text),) = describe(model, Subject(size=SIDE, source="x.mp4"), Camera(SIDE, SIDE, 500.0, (128.0, 128.0)))
    assert level == "warning"
    assert text.startswith("The camera moves in x.mp4") and "cuts" in text


def test_a_camera_that_walks_through_a_room_is_warned_of(person):
    """A nearer part of the room, at the left, moves further."""
    frames, _ = filmed(person, pan)
    nearer, _ = filmed(person, lambda index: pan(index) + 0.2 * (pan(index) - pan(6)) * np.array([0, 0, 1]))
    frames[:, :, : SIDE // 3] = nearer[:, :, : SIDE // 3]
    said = describe(learned(person, frames), Subject(size=SIDE), Camera(SIDE, SIDE, 500.0, (128.0, 128.0)))
    (text,) = (text for level, text in said if level == "warning")
    assert "has depth" in text


def test_a_zoom_is_reported_with_its_amount_and_a_strong_one_is_warned_of(clip):
    motion, _, _, model = clip
    camera = Camera(SIDE, SIDE, 1.2 * SIDE, (128.0, 128.0))
    said = describe(model, Subject(size=SIDE), camera)
    assert [level for level, _ in said] == ["info"] * len(said)
    assert any("zooms by 1.2" in text for _, text in said) == (motion is zoom)
    far = replace(model.camera, to_reference=np.stack([np.diag([s, s, 1.0]) for s in np.linspace(1, 1.5, COUNT)]))
    levels = {
        level for level, text in describe(replace(model, camera=far), Subject(size=SIDE), camera) if "zooms" in text
    }
    assert levels == {"warning"}


def test_the_turn_of_a_camera_is_found_from_its_homographies():
    camera = Camera(SIDE, SIDE, 1.2 * SIDE, (0.5 * SIDE, 0.5 * SIDE))
    motions = np.stack([np.linalg.inv(turn(12)) @ turn(index) for index in range(COUNT)])
    path = CameraPath(motions / motions[:, 2:, 2:], np.zeros(COUNT), np.zeros(2), float(SIDE))
    lens = np.array([[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    for found, motion in zip(path.turns(camera), motions, strict=True):
        true = np.linalg.inv(lens) @ motion @ lens
        np.testing.assert_allclose(found, true / np.cbrt(np.linalg.det(true)), atol=2e-3)
    np.testing.assert_allclose(path.zooms(camera), 1.0, atol=1e-3)


def test_the_edge_that_a_working_frame_repeats_is_not_its_background():
    subject = Subject(size=100, source_size=(200, 150), crop=Crop(-20.0, 10.0, 100.0))
    shown = shown_part(subject)
    assert shown is not None
    assert (shown[:, :20] == 0).all() and (shown[:, 22:] == 255).all()
    assert shown_part(replace(subject, crop=Crop(20.0, 10.0, 100.0))) is None


def test_the_stage_keeps_the_motion_and_every_frame_has_its_background(person, tmp_path):
    frames, walls = filmed(person, pan)
    workspace = Workspace.create(tmp_path / "subject")
    workspace.subject.frames, workspace.subject.size = COUNT, SIDE
    for name in ("media", "face_sync"):
        workspace.subject.stages[name] = {"state": "done", "key": name}
    workspace.save()
    for index, frame in enumerate(frames):
        write_image(workspace.frame_path(index), frame)
    poses = np.tile(np.eye(4), (COUNT, 1, 1))
    poses[:, 2, 3] = 0.8
    track = make_track(COUNT, size=SIDE, head_to_camera=poses, landmarks_px=person.landmarks)
    track.write(workspace.tracking_path, 25.0)
    said = []
    stage.run(workspace, Reporter(on_log=lambda level, text: said.append((level, text))))
    assert [level for level, text in said if "camera" in text] == ["info"]
    path = workspace.camera_path()
    assert path is not None and path.to_reference.shape == (COUNT, 3, 3)
    behind = WorkingFrames(workspace, SIDE)
    for index in (0, 12):
        error = np.abs(behind.background(index).astype(float) - walls[index])[: SIDE // 8]
        assert error.mean() < 3, "above the head"
    before = [path.read_bytes() for path in sorted(workspace.root.glob("plate/*"))]
    workspace.subject.stages["portrait_sync"]["state"] = "partial"
    workspace.save()
    workspace.plate_path(3).unlink()
    stage.run(Workspace.open(workspace.root), Reporter())
    assert [path.read_bytes() for path in sorted(workspace.root.glob("plate/*"))] == before, (
        "a resumed run ends the same"
    )


@pytest.mark.parametrize(("steps", "moves"), [("one", False), ("pan", True), ("quick pan", True), ("still", False)])
def test_one_step_of_corners_that_were_taken_for_others_is_no_motion(monkeypatch, steps, moves):
    """A person who moves in front of a wall with little texture: one sample in 64 of a clip from a tripod."""
    amounts = np.full((29, 3), 1e-4)
    if steps == "one":
        amounts[20] = (0.046, -0.007, 0.006)
    elif steps == "pan":
        amounts[:, 0] = 0.004
    elif steps == "quick pan":
        amounts[10:13, 0] = 0.03
    given = iter(amounts.tolist())
    monkeypatch.setattr(camera_motion, "_background_step", lambda *_: next(given, None))
    frames = np.zeros((30, 32, 32, 3), np.uint8)
    assert bool(camera_motion.camera_motion(frames, [np.zeros((32, 32), np.float32)] * 30)) is moves
