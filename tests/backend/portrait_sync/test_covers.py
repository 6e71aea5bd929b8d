"""What covers the face is found, kept from the training, and stays over the rendered head."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.delivery.covers import cover_in
from backend.delivery.footage import WorkingFrames
from backend.delivery.place import Place
from backend.head_sync.landmarks import choose_face, open_landmarker
from backend.portrait_sync import stage
from backend.portrait_sync.blend import behind_cover, over
from backend.portrait_sync.covers.files import with_cover
from backend.portrait_sync.covers.search import CoverFinder, runs_of
from backend.portrait_sync.head_region import FACE_OVAL, face_frame, fill_polygon
from backend.portrait_sync.placed_head import PlacedHead
from backend.portrait_sync.portrait import open_portrait
from backend.progress import Reporter
from backend.protocol import OURS
from backend.training.dataset import FramePool, read_frame
from backend.workspace.camera import Camera
from backend.workspace.images import write_image
from backend.workspace.store import Workspace
from tests.backend.made_up_track import make_track
from tests.backend.portrait_sync.conftest import Scene, draw

FRAMES, SIDE = 40, 256
COVERED = range(12, 26)


def microphone(side: int, landmarks: np.ndarray, phase: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A dark foam ball on a stick before the chin: colours (S, S, 3) and matte (S, S), float32."""
    axes = face_frame(landmarks)
    x, y = axes.chin + axes.height * np.array([0.12 * np.sin(phase), -0.12 + 0.04 * np.cos(2 * phase)])
    radius = 0.17 * axes.height
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) + 0.5
    stick = np.clip(0.05 * axes.height - np.abs(columns - x) + 0.5, 0, 1) * (rows > y)
    ball = np.clip(radius - np.hypot(columns - x, rows - y) + 0.5, 0, 1)
    grain = np.random.default_rng(seed).normal(0, 6, (side, side)).astype(np.float32)
    light = 34 + 30 * np.clip(1 - np.hypot(columns - x + radius / 2, rows - y + radius / 2) / (1.6 * radius), 0, 1)
    colour = np.repeat((light + cv2.GaussianBlur(grain, (0, 0), 0.8))[..., None], 3, 2)
    return colour, cv2.GaussianBlur(np.maximum(ball, stick), (0, 0), 0.8)


@pytest.fixture(scope="module")
def clip() -> tuple[Scene, np.ndarray, Scene]:
    """The drawn clip with a microphone in some frames, its mattes, and the clip without it."""
    clean = draw(FRAMES, SIDE)
    frames, mattes = clean.frames.copy(), np.zeros((FRAMES, SIDE, SIDE), np.float32)
    for index in COVERED:
        colour, matte = microphone(SIDE, clean.landmarks[index], 0.4 * index)
        frames[index] = np.rint(frames[index] + matte[..., None] * (colour - frames[index])).astype(np.uint8)
        mattes[index] = matte
    return replace(clean, frames=frames), mattes, clean


@pytest.fixture(scope="module")
def covered(clip, tmp_path_factory) -> Workspace:
    return processed(clip[0], tmp_path_factory.mktemp("covered") / "subject")


def processed(scene: Scene, root: Path, **options: bool) -> Workspace:
    """A workspace of the scene, with the reporter's warnings kept."""
    workspace = Workspace.create(root)
    workspace.subject.frames, workspace.subject.size = len(scene.frames), scene.frames.shape[1]
    workspace.subject.crop = None
    workspace.subject.source_size = (SIDE, SIDE)
    for name in ("media", "face_sync"):
        workspace.subject.stages[name] = {"state": "done", "key": name}
    workspace.save()
    for index, frame in enumerate(scene.frames):
        write_image(workspace.frame_path(index), frame)
    poses = np.tile(np.eye(4), (len(scene.frames), 1, 1))
    poses[:, 2, 3] = 0.8
    track = make_track(
        len(scene.frames),
        size=SIDE,
        valid=np.ones(len(scene.frames), bool),
        head_to_camera=poses,
        landmarks_px=scene.landmarks.astype(np.float32),
    )
    track.write(workspace.tracking_path, 25.0)
    reporter = Reporter()
    stage.run(workspace, reporter, **options)
    workspace.keep_warnings("portrait_sync", reporter.warnings)
    return workspace


def oval(landmarks: np.ndarray) -> np.ndarray:
    return fill_polygon(landmarks[list(FACE_OVAL)], (SIDE, SIDE), 1.0) > 0.5


def test_a_microphone_is_found_where_it_is_and_nowhere_else(clip, covered):
    scene, mattes, _ = clip
    written = [index for index in range(FRAMES) if covered.read_cover(index) is not None]
    assert set(written) >= set(COVERED)
    assert set(written) <= set(range(COVERED[0] - 2, COVERED[-1] + 3))
    for index in COVERED[2:-2]:
        face, cover = oval(scene.landmarks[index]), covered.read_cover(index) > 127
        true = (mattes[index] > 0.5) & face
        assert (cover & true).sum() > 0.85 * true.sum(), index
        assert (cover & face & (mattes[index] < 0.1)).sum() < 0.05 * true.sum(), index
    (warning,) = covered.subject.stages["portrait_sync"]["warnings"]
    assert f"in {len(written)} of {FRAMES} frames" in warning


def test_nothing_is_found_in_the_same_clip_without_it_or_where_the_artist_says_so(clip, tmp_path):
    scene, _, clean = clip
    for name, frames, options in (("clean", clean, {}), ("off", scene, {"no_covers": True})):
        workspace = processed(frames, tmp_path / name, **options)
        assert not any(workspace.cover_path(index).exists() for index in range(FRAMES))
        assert not workspace.subject.stages["portrait_sync"].get("warnings")


def test_the_search_is_part_of_the_stage_s_key(covered):
    track = covered.head_track(refined=False)
    assert stage.stage_key(covered, track) != stage.stage_key(covered, track, no_covers=True)


def test_a_head_that_is_put_behind_the_cover_leaves_the_frame_as_it_was(clip, covered):
    """The true head rendered over the plate gives the frame with its microphone; without the cut it would be in front."""
    scene, mattes, clean = clip
    track, camera = covered.head_track(), Camera(SIDE, SIDE, 600.0, (SIDE / 2, SIDE / 2))
    portrait = open_portrait(OURS, WorkingFrames(covered, SIDE), covered, track)
    index = COVERED[6]
    alpha = clean.head[index][..., None]
    rgba = np.concatenate([clean.frames[index] / 255.0 * alpha, alpha], 2).astype(np.float32)
    head = PlacedHead(rgba, index, camera, track.head_to_camera[index], track.blendshapes[index])
    where = (mattes[index] > 0.02) & oval(scene.landmarks[index])
    error = np.abs(portrait.compose(head).astype(int) - scene.frames[index])[where].mean()
    uncut = np.abs(over(rgba, covered.read_plate(index)).astype(int) - scene.frames[index])[where].mean()
    assert error < 8
    assert uncut > 5 * error
    free = PlacedHead(rgba, 0, camera, track.head_to_camera[0], track.blendshapes[0])
    np.testing.assert_array_equal(portrait.compose(free), over(rgba, covered.read_plate(0)))


def test_a_cover_s_soft_border_has_no_face_in_it():
    """Cover over head, exactly, but for the plate's own share of the faintest part."""
    matte = np.clip((np.arange(64, dtype=np.float32)[None] - 20) / 12, 0, 1).repeat(64, 0)
    cover = np.rint(255 * matte).astype(np.uint8)
    dark, skin, wall = np.full(3, 30.0), np.full(3, 200.0), np.full((64, 64, 3), 90, np.uint8)
    frame = np.rint(dark * matte[..., None] + skin * (1 - matte[..., None])).astype(np.uint8)
    head = np.concatenate([np.full((64, 64, 3), 200 / 255), np.ones((64, 64, 1))], 2).astype(np.float32)
    result = over(behind_cover(head, cover / np.float32(255)), with_cover(wall, frame, cover))
    assert np.abs(result.astype(int) - frame).max() <= 12


def test_training_sees_no_pixel_of_a_cover(clip, covered):
    scene, mattes, _ = clip
    track, index = covered.head_track(), COVERED[6]
    frame = read_frame(covered, track, index, SIDE)
    assert frame.covered is not None
    whole = np.zeros((SIDE, SIDE), bool)
    height, width = frame.covered.shape
    whole[frame.y0 : frame.y0 + height, frame.x0 : frame.x0 + width] = frame.covered
    true = (mattes[index] > 0.5) & oval(scene.landmarks[index])
    assert (whole & true).sum() > 0.95 * true.sum()
    assert read_frame(covered, track, 0, SIDE).covered is None
    small = read_frame(covered, track, index, SIDE // 2)
    assert small.covered is not None and small.covered.shape == small.alpha.shape
    with FramePool(covered, track, np.arange(FRAMES), SIDE) as pool:
        pool.begin(Reporter())
        rays = pool.sample(np.random.default_rng(0), 60, 200, 0.5)
    drawn = np.repeat(rays.frames, rays.counts)
    hidden = mattes[drawn, rays.v.astype(int), rays.u.astype(int)] > 0.5
    inside = np.array([oval(points) for points in scene.landmarks])[drawn, rays.v.astype(int), rays.u.astype(int)]
    assert (hidden & inside).sum() > 100
    assert rays.covered[hidden & inside].mean() > 0.95
    assert rays.covered.mean() < 0.2


def test_a_cover_lies_where_the_working_frame_lies_in_the_image(covered):
    index, place = COVERED[6], Place(0.5, 40.0, 10.0)
    placed = cover_in(covered, index, place, (160, 200))
    assert placed is not None and placed.shape == (160, 200)
    expected = np.zeros((160, 200), np.float32)
    expected[10:138, 40:168] = cv2.resize(covered.read_cover(index), (128, 128), interpolation=cv2.INTER_AREA) / 255
    assert np.abs(placed - expected).mean() < 0.005
    assert cover_in(covered, 0, place, (160, 200)) is None
    assert cover_in(covered, FRAMES, place, (160, 200)) is None


def test_short_finds_are_no_cover():
    assert runs_of([3, 4, 5, 6], Fraction(25)) == []
    assert runs_of([3, 4, 7, 8, 9, 30], Fraction(25)) == [[3, 4, 7, 8, 9]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "address-en-20s-audio-late",
        "anchor-de-20s",
        "anchor-en-71s",
        "presenter-7s-30fps-700px",
        "speech-en-60s-256px",
        "speech-en-8s-close",
        "speech-en-8s-lively",
        "speech-en-8s-long-hair",
    ],
)
def test_nothing_covers_the_faces_of_the_shared_clips_and_a_microphone_is_found_in_each(shared, name):
    """About 120 frames of each, with the landmarks as they are detected in the frames with the microphone."""
    frames = frames_of(shared / "clips" / f"{name}.mp4", 120)
    found, _ = search(frames)
    assert not found
    landmarks = detected(frames)
    covered, mattes = [], []
    for index, frame in enumerate(frames):
        colour, matte = microphone(len(frame), landmarks[index], 0.2 * index)
        matte = matte * (40 <= index < 80)
        covered.append(np.clip(np.rint(frame + matte[..., None] * (colour - frame)), 0, 255).astype(np.uint8))
        mattes.append(matte)
    found, finder = search(covered)
    assert len(found) >= 34
    right = true = drawn = 0
    for index, seeds in found.items():
        cover = finder.matte(index, reduced(covered[index], finder.divisor), seeds, len(frames[0]))[0] > 127
        face = fill_polygon(landmarks[index][list(FACE_OVAL)], cover.shape, 1.0) > 0.5
        right += (cover & face & (mattes[index] > 0.5)).sum()
        drawn, true = drawn + (cover & face).sum(), true + ((mattes[index] > 0.5) & face).sum()
    print(f"{name}: recall {right / true:.3f}, precision {right / drawn:.3f}, {len(found)} of 40 frames")
    assert right > 0.75 * true
    assert right > 0.9 * drawn


def frames_of(path: Path, count: int) -> list[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted, frames = set(np.linspace(0, total - 2, count).astype(int).tolist()), []
    for index in range(total):
        if not video.grab():
            break
        if index in wanted:
            frames.append(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB))
    return frames


def detected(frames: list[np.ndarray]) -> np.ndarray:
    landmarker = open_landmarker()
    try:
        faces = [choose_face(landmarker.detect(frame), None) for frame in frames]
    finally:
        landmarker.close()
    last = next(face for face in faces if face is not None)
    return np.stack([(face or last).points_px for face in faces]).astype(np.float32)


def reduced(frame: np.ndarray, divisor: int) -> np.ndarray:
    side = len(frame) // divisor
    return frame if divisor == 1 else cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)


def search(frames: list[np.ndarray]) -> tuple[dict[int, np.ndarray], CoverFinder]:
    """What is found in frames far apart in time, by their number."""
    finder = CoverFinder(detected(frames), np.ones(len(frames), bool))
    finder.fit([reduced(frames[index], finder.divisor) for index in finder.samples])
    seeds = {index: finder.seeds(index, reduced(frame, finder.divisor)) for index, frame in enumerate(frames)}
    return {index: found for index, found in seeds.items() if found is not None}, finder
