"""The report of the tracking separates correct poses from wrong ones, shows bridged frames and cuts, and leaves no partial
files."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from backend.errors import Cancelled, WorkspaceError
from backend.evaluation.tracking.measures import skull_mask, stabilized_residual
from backend.evaluation.tracking.points_sheet import AROUND, CELL, points_sheet
from backend.evaluation.tracking.report import pose_curves, write_head_sync_report
from backend.evaluation.tracking.stabilized_video import CAPTION, CAUTION, GAP, PANEL
from backend.evaluation.tracking.stabilized_view import StabilizedView
from backend.evaluation.tracking.tracked import WORST_PX, Tracked, cut_out, error_colours, in_cut_out, to_aspect
from backend.head_sync.stage import TRACKING_SHARE
from backend.progress import Reporter
from backend.protocol import SYNTHETIC_MARK
from backend.workspace.camera import PIXEL_CENTRE
from backend.workspace.files import write_arrays
from backend.workspace.images import read_image, write_image
from backend.workspace.landmarks import RIGID
from backend.workspace.poses import project, step_poses
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop, Subject
from tests.backend.made_up_head import FOCAL, PRINCIPAL, SIZE, MadeUp

FRAMES = 30
BRIDGED = slice(12, 15)
CUT = 18
DEPTH_M = -0.085
"""Plane of the flat face in the head frame: its image is a homography, so the truth needs no renderer."""

_STEP_M = 0.0004


@dataclass
class Clip:
    """A flat, textured face moved by known poses, as a workspace after `head_sync`."""

    workspace: Workspace
    arrays: dict[str, np.ndarray]

    def write(self, **changed: np.ndarray) -> Workspace:
        """`head_sync.npz` with some arrays as given; None takes one away."""
        arrays = {name: value for name, value in {**self.arrays, **changed}.items() if value is not None}
        write_arrays(self.workspace.root / "head_sync.npz", **arrays)
        return self.workspace

    @property
    def tracked(self) -> Tracked:
        return Tracked.of(self.workspace.pose_track(), 25.0)

    def grey(self, frame: int) -> np.ndarray:
        return cv2.cvtColor(self.workspace.read_frame(frame), cv2.COLOR_RGB2GRAY)


def textured_plane() -> np.ndarray:
    """(900, 900, 3) uint8: soft spots, `_STEP_M` a pixel, about the head's axis."""
    noise = np.random.default_rng(1).normal(0, 1, (900, 900, 3))
    spots = gaussian_filter(noise, (7, 7, 0))
    return np.clip(128 + 45 * spots / spots.std(), 0, 255).astype(np.uint8)


def image_of(texture: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(S, S, 3) of the plane z = `DEPTH_M` of the head under a pose (4, 4)."""
    middle = (len(texture) - 1) / 2
    to_head = np.array([[_STEP_M, 0, -middle * _STEP_M], [0, _STEP_M, -middle * _STEP_M], [0, 0, 1]])
    x, y = PRINCIPAL - PIXEL_CENTRE  # cv2.warpPerspective counts the first pixel's centre as 0
    camera = np.array([[FOCAL, 0, x], [0, FOCAL, y], [0, 0, 1]])
    onto = np.column_stack([pose[:3, 0], pose[:3, 1], pose[:3, 2] * DEPTH_M + pose[:3, 3]])
    return cv2.warpPerspective(texture, camera @ onto @ to_head, (SIZE, SIZE), borderValue=(90, 90, 90))


def wrong(poses: np.ndarray) -> np.ndarray:
    """Poses that shake by a degree about every axis."""
    shake = np.random.default_rng(3).normal(0, np.radians(1), (len(poses), 6))
    shake[:, 3:] = 0
    return step_poses(poses, shake)


@pytest.fixture(scope="module")
def once(made_up: MadeUp, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Written once; `clip` is a test's own."""
    poses = made_up.poses[: 2 * FRAMES : 2]
    face = made_up.face.copy()
    face[:, 2] = DEPTH_M
    subject = Subject("plane", source_size=(SIZE, SIZE), frames=FRAMES, size=SIZE, crop=Crop(0, 0, SIZE))
    workspace = Workspace(tmp_path_factory.mktemp("report") / "ws", subject)
    texture = textured_plane()
    for frame in range(FRAMES):
        write_image(workspace.frame_path(frame), image_of(texture, poses[frame]))
    points = face[::8]
    valid = np.ones(FRAMES, bool)
    valid[BRIDGED] = False
    arrays = {
        "head_to_camera": poses, "focal_px": np.array(FOCAL), "principal_px": PRINCIPAL, "face_head_m": face,
        "points_head_m": points, "points_px": project(poses, points, FOCAL, PRINCIPAL).astype(np.float32),
        "points_seen": np.repeat(valid[:, None], len(points), 1), "valid": valid, "reprojection_px": np.full(FRAMES, 0.4),
        "surface_head_m": face[RIGID], "cuts": np.zeros(FRAMES, bool),
        "focal_low_px": np.array(1000.0), "focal_high_px": np.array(1500.0),
    }  # fmt: skip
    clip = Clip(workspace, arrays)
    clip.write()
    return clip


@pytest.fixture
def clip(once: Clip, tmp_path: Path) -> Clip:
    """The clip with reports and `head_sync.npz` of the test's own; the frames are shared."""
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "frames").symlink_to(once.workspace.root / "frames", target_is_directory=True)
    clip = replace(once, workspace=Workspace(tmp_path / "ws", once.workspace.subject))
    clip.write()
    return clip


def video_of(workspace: Workspace) -> np.ndarray:
    """(N, H, W, 3) uint8 of `stabilized.mp4`."""
    with av.open(str(workspace.reports / "head_sync" / "stabilized.mp4")) as video:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])


def face_halves(video: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the footage's half and of the stabilised half, (N, h, w) grey."""
    rows, columns = slice(PANEL[0] // 4, PANEL[0] // 2), slice(PANEL[1] // 4, PANEL[1] * 3 // 4)
    grey = video.astype(np.float64).mean(-1)
    return grey[:, rows, columns], grey[:, rows, PANEL[1] + GAP :][:, :, columns]


def deviation(images: np.ndarray) -> float:
    """Mean temporal standard deviation, of 255."""
    return float(images.std(0).mean())


def test_right_poses_hold_a_face_still_and_wrong_ones_do_not(clip):
    arrays = clip.arrays
    poses, frames = arrays["head_to_camera"], np.arange(FRAMES)
    view = StabilizedView(poses[0], arrays["surface_head_m"], FOCAL, PRINCIPAL, SIZE)
    skull = skull_mask(project(poses[:1], arrays["face_head_m"], FOCAL, PRINCIPAL)[0], SIZE)

    def residual(some: np.ndarray) -> float:
        return stabilized_residual(lambda frame, grey: view.take(grey, some[frame]), clip.grey, skull, frames)

    assert residual(poses) < 2, "what JPEG and resampling leave"
    assert residual(wrong(poses)) > 5 * residual(poses)


def test_a_window_shows_the_same_as_the_frame_at_its_own_scale(clip):
    arrays = clip.arrays
    pose, image = arrays["head_to_camera"][9], clip.workspace.read_frame(9)
    made = [arrays["head_to_camera"][0], arrays["face_head_m"], FOCAL, PRINCIPAL, SIZE]
    full = StabilizedView(*made).take(image, pose)
    part = StabilizedView(*made, window=(150, 130, 350, 330), shape=(100, 100)).take(image, pose)
    halved = cv2.resize(full[130:330, 150:350], (100, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(part.astype(int) - halved).mean() < 3
    shifted = cv2.resize(full[131:331, 152:352], (100, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(part.astype(int) - shifted).mean() > 6, "a shift of two pixels would be seen"


def test_what_lies_beyond_the_frame_takes_the_colour_asked_for(clip):
    arrays = clip.arrays
    pose = arrays["head_to_camera"][0]
    view = StabilizedView(pose, arrays["surface_head_m"], FOCAL, PRINCIPAL, SIZE, window=(-40, -40, 40, 40))
    taken = view.take(clip.workspace.read_frame(0), pose, outside=(1, 2, 3))
    assert (taken[:36, :36] == (1, 2, 3)).all()
    assert not (taken[44:, 44:] == (1, 2, 3)).all(-1).any()


def test_the_video_is_still_where_the_footage_moves(clip):
    write_head_sync_report(clip.workspace, Reporter())
    video = video_of(clip.workspace)
    assert video.shape == (FRAMES, PANEL[0] + CAPTION, 2 * PANEL[1] + GAP, 3)
    footage, still = face_halves(video)
    assert deviation(still) < 4
    assert deviation(footage) > 5 * deviation(still)
    clip.write(head_to_camera=wrong(clip.arrays["head_to_camera"]))
    write_head_sync_report(clip.workspace, Reporter())
    assert deviation(face_halves(video_of(clip.workspace))[1]) > 3 * deviation(still)


def test_bridged_frames_are_framed_and_no_others(clip):
    write_head_sync_report(clip.workspace, Reporter())
    edge = video_of(clip.workspace)[:, 40 : PANEL[0] - 40, -3:].astype(int)
    framed = np.abs(edge - CAUTION).mean((1, 2, 3)) < 30
    assert framed[BRIDGED].all()
    assert framed.sum() == 3


def test_the_caption_reports_a_cut_for_a_while(clip):
    captions = []
    for cuts in (np.zeros(FRAMES, bool), np.arange(FRAMES) == CUT):
        clip.write(cuts=cuts)
        write_head_sync_report(clip.workspace, Reporter())
        captions.append(video_of(clip.workspace)[:, PANEL[0] :, PANEL[1] + GAP :].astype(int))
    shown = np.abs(captions[1] - captions[0]).max((1, 2, 3)) > 100
    assert shown[CUT:].all()
    assert not shown[:CUT].any()


def test_a_video_of_footage_is_not_marked_as_a_synthetic_likeness(clip):
    (path, *_) = write_head_sync_report(clip.workspace, Reporter())
    with av.open(str(path)) as video:
        assert "Recorded footage" in video.metadata["comment"]
        assert SYNTHETIC_MARK not in video.metadata.values()


def test_lines_of_the_sheet_are_five_times_the_error_and_of_its_colour(clip):
    off = np.array([4.0, -1.0])
    shown = clip.arrays["points_head_m"][:1]
    put = project(clip.arrays["head_to_camera"], shown, FOCAL, PRINCIPAL)
    clip.write(points_head_m=shown, points_px=(put - off).astype(np.float32), points_seen=np.ones((FRAMES, 1), bool))
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    sheet = points_sheet(clip.tracked, lambda frame: black)
    # The first frame of the sheet, below the heading and its scale of colours.
    red = (np.abs(sheet.astype(int) - error_colours(np.array([WORST_PX]))[0]) < 20).all(-1)[62:, 22:]
    box = to_aspect(clip.tracked.head_box(np.array([0])), CELL[1] / CELL[0], AROUND)
    for times, drawn in ((0, True), (4.8, True), (5.8, False), (-1.5, False)):
        x, y = np.floor(in_cut_out(put[0] - off + times * off, box, CELL)[0]).astype(int)
        assert red[y, x] == drawn, times


def test_colours_go_from_cyan_over_yellow_to_red():
    none, half, worst, beyond = error_colours(np.array([0, WORST_PX / 2, WORST_PX, 50.0])).astype(int)
    assert none[2] > none[0]
    assert min(half[0], half[1]) > 200 > half[2]
    assert worst[0] > 200 > worst[1]
    np.testing.assert_array_equal(worst, beyond)


def test_points_are_drawn_where_the_cut_out_shows_them():
    image = np.zeros((60, 60, 3), np.uint8)
    image[20, 33] = 255
    box, shape = (10.0, -4.0, 50.0, 46.0), (100, 80)
    cut = cut_out(image, box, shape, (0, 0, 0))[..., 0]
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    middle = np.array([(columns * cut).sum(), (rows * cut).sum()]) / cut.sum() + PIXEL_CENTRE
    np.testing.assert_allclose(in_cut_out(np.array([33.5, 20.5]), box, shape), middle, atol=0.05)


def test_pose_curves_are_labelled_and_shade_what_is_bridged(clip):
    clip.write(cuts=np.arange(FRAMES) == CUT)
    svg = pose_curves(clip.tracked)
    root = ElementTree.fromstring(svg)
    texts = {"".join(item.itertext()).strip() for item in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"degrees", "mm from median", "error, px", "seconds", "pitch", "yaw", "roll", "reprojection"} <= texts
    assert any("likely 1000 to 1500 px" in text and "Shaded" in text and "Dashed" in text for text in texts)
    assert "var(" not in svg, "not every viewer knows variables"
    drawn = svg[svg.index("</style>") :]
    assert drawn.count("fill: #efeee8") == 3, "one run through three plots"
    assert drawn.count("stroke-dasharray: ") == 3, "one cut through three plots"
    clip.write(valid=np.ones(FRAMES, bool))
    full = pose_curves(clip.tracked)
    assert full[full.index("</style>") :].count("fill: #efeee8") == 0
    assert "Shaded" not in full


def test_curves_show_the_angles_in_degrees(clip):
    turned = np.repeat(np.eye(4)[None], FRAMES, 0)
    turned[:, 2, 3] = 1.0
    nod = np.radians(np.linspace(0, 37, FRAMES))
    turned[:, 1, 1], turned[:, 1, 2], turned[:, 2, 1], turned[:, 2, 2] = (
        np.cos(nod),
        -np.sin(nod),
        np.sin(nod),
        np.cos(nod),
    )
    clip.write(head_to_camera=turned)
    texts = [
        "".join(item.itertext()).strip()
        for item in ElementTree.fromstring(pose_curves(clip.tracked)).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert "30" in texts[: texts.index("degrees")]


def test_a_cancelled_video_leaves_none_and_finished_files_are_complete(clip):
    calls = []

    def cancelled() -> bool:
        calls.append(None)
        return len(calls) > 10

    with pytest.raises(Cancelled):
        write_head_sync_report(clip.workspace, Reporter(cancelled=cancelled))
    assert sorted(path.name for path in (clip.workspace.reports / "head_sync").iterdir()) == ["points.png", "poses.svg"]
    read_image(clip.workspace.reports / "head_sync" / "points.png")


def test_progress_is_reported_up_to_the_last_frame(clip):
    events = []
    write_head_sync_report(clip.workspace, Reporter(on_progress=events.append, interval_s=0.0))
    done = [event.done for event in events]
    assert len(done) >= FRAMES
    assert done == sorted(done), "the stage's progress counts on from the tracking's"
    assert (done[0], done[-1]) == (round(TRACKING_SHARE * FRAMES), FRAMES)
    assert {event.total for event in events} == {FRAMES}


def test_a_clip_without_a_single_point_or_with_lost_poses_has_its_report_too(clip):
    poses = clip.arrays["head_to_camera"].copy()
    poses[BRIDGED] = np.nan
    clip.write(
        head_to_camera=poses,
        points_head_m=np.zeros((0, 3)),
        points_px=np.zeros((FRAMES, 0, 2), np.float32),
        points_seen=np.zeros((FRAMES, 0), bool),
    )
    assert all(path.exists() for path in write_head_sync_report(clip.workspace, Reporter()))
    assert len(video_of(clip.workspace)) == FRAMES


def test_the_report_is_written_again_only_for_a_newer_track(clip):
    (path, *others) = write_head_sync_report(clip.workspace, Reporter())
    first = path.stat().st_mtime_ns
    assert write_head_sync_report(clip.workspace, Reporter()) == [path, *others]
    assert path.stat().st_mtime_ns == first
    others[0].unlink()
    write_head_sync_report(clip.workspace, Reporter())
    assert others[0].exists()
    second = path.stat().st_mtime_ns
    clip.write()
    write_head_sync_report(clip.workspace, Reporter())
    assert path.stat().st_mtime_ns > second > first


def test_a_missing_frame_is_named(clip):
    workspace = clip.workspace
    (workspace.root / "frames").unlink()
    with pytest.raises(WorkspaceError, match=r"000000\.jpg is missing"):
        write_head_sync_report(workspace, Reporter())
