"""Footage beneath speech that is longer: it plays without an end, and where its order is left nothing shows it."""

from fractions import Fraction

import numpy as np
import pytest

from backend.errors import FaceError, SyncTalkError
from backend.face_sync.footage_features import footage_features
from backend.face_sync.footage_path import footage_path
from backend.workspace.idle_part import BLINKS, calm_part, head_points_px, idle_take, takes
from backend.workspace.images import write_image
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop
from tests.backend.made_up_track import make_track

FRAMES = 500


def moving(frames: int = FRAMES, seed: int = 3, **parts):
    """A head that sways as in speech, in working frames of 256 px: it moves and rests in turn, and never twice the same."""
    rng, at = np.random.default_rng(seed), np.arange(frames) / 25
    at = np.cumsum((0.5 - 0.5 * np.cos(2 * np.pi * at / 2.7)) ** 2) / 25 * 2.5
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 2, 3] = 0.8
    for axis in (0, 1):
        for hertz in (0.13, 0.31, 0.7, 1.3):
            poses[:, axis, 3] += 0.004 / hertz**0.7 * np.sin(2 * np.pi * (hertz * at + rng.random()))
    shapes = np.zeros((frames, 52), np.float32)
    return make_track(frames, head_to_camera=poses, **({"blendshapes": shapes} | parts))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """Without images: the pose alone is compared."""
    workspace = Workspace.create(tmp_path_factory.mktemp("path") / "subject")
    workspace.subject.source_size, workspace.subject.size, workspace.subject.frames = (256, 256), 256, FRAMES
    return workspace


def path_over(workspace, track, frames):
    features = footage_features(workspace, track, 0, track.frames)
    return footage_path(features, track.blendshapes[:, BLINKS].max(1), frames, Fraction(25))


def test_speech_that_is_no_longer_than_the_footage_plays_it_in_order(workspace):
    path = path_over(workspace, moving(), FRAMES)
    assert np.array_equal(path.frames, np.arange(FRAMES))
    assert not len(path.leaves)


def test_ten_minutes_over_twenty_seconds_never_freeze_and_begin_as_the_footage(workspace):
    path = path_over(workspace, moving(), 15000)
    assert len(path.frames) == 15000
    assert 0 <= path.frames.min() <= path.frames.max() < FRAMES
    assert not (np.diff(path.frames) == 0).any()
    assert np.array_equal(path.frames[:20], np.arange(20))
    left = np.flatnonzero(np.abs(np.diff(path.frames, 2)) > 0)
    assert set(left + 1) <= {*path.leaves, *(path.leaves + 1)}, "the order is left where it is reported"


def test_where_the_order_is_left_the_head_changes_its_motion_no_more_than_anywhere(workspace):
    """The velocity of a turn changes by twice the speed: at a random frame that would be far above what the clip shows."""
    track = moving()
    head = head_points_px(track, 0, FRAMES)
    path = path_over(workspace, track, 15000)

    def change(frames):
        return np.linalg.norm(np.diff(head[frames], 2, axis=0), axis=2).mean(1)

    own, seen = change(np.arange(FRAMES)), change(path.frames)
    at_leaves = np.maximum(seen[path.leaves - 1], seen[path.leaves])
    assert np.quantile(at_leaves, 0.9) < np.quantile(own, 0.95)
    assert at_leaves.max() < np.quantile(own, 0.99)
    anywhere = [change(np.array([k - 2, k - 1, k, k - 1, k - 2])).max() for k in range(20, FRAMES, 20)]
    assert np.mean(anywhere > at_leaves.max()) > 0.3, "a turn at a random frame is seen"


def test_it_varies_and_runs_for_seconds(workspace):
    path = path_over(workspace, moving(), 15000)
    runs = np.diff(path.leaves) / 25
    assert np.median(runs) > 3.0
    assert len({(path.frames[k], path.frames[k + 1]) for k in path.leaves}) > 8
    assert np.ptp(path.frames) > FRAMES / 2
    assert np.array_equal(path_over(workspace, moving(), 3000).frames[:2000], path.frames[:2000]), "again the same"


def test_moments_that_repeat_are_joined_by_a_jump(workspace):
    """A movement of four seconds, five times over: it plays on forwards for ever."""
    at = np.arange(FRAMES) / 25
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = 0.02 * np.sin(2 * np.pi * at / 4) + 0.004 * np.sin(2 * np.pi * at)
    poses[:, 1, 3] = 0.02 * np.cos(2 * np.pi * at / 4)
    poses[:, 2, 3] = 0.8
    path = path_over(
        workspace, make_track(FRAMES, head_to_camera=poses, blendshapes=np.zeros((FRAMES, 52), "f4")), 5000
    )
    steps = np.diff(path.frames)
    assert (steps == 1).mean() > 0.95
    assert path.costs.max() < 0.5


def test_nothing_turns_or_jumps_at_a_blink(workspace):
    track = moving()
    calm = path_over(workspace, track, 5000)
    turned = np.unique(calm.frames[calm.leaves])
    for frame in turned:  # a blink at each place that was chosen
        track.blendshapes[max(frame - 2, 0) : frame + 3, BLINKS] = 0.9
    path = path_over(workspace, track, 5000)
    shut = track.blendshapes[:, BLINKS[0]] > 0.5
    assert not shut[path.frames[path.leaves]].any()
    assert not shut[path.frames[path.leaves + 1]].any()


def test_it_turns_where_the_body_rests_as_well(tmp_path):
    """A still head over a body that moves for two seconds and rests for one, once inside the working frame, once around it."""
    moves = np.arange(150) % 75 < 50
    place = 10 + np.cumsum(moves)
    for around in (False, True):
        workspace = Workspace.create(tmp_path / f"subject {around}")
        subject = workspace.subject
        subject.source_size, subject.size, subject.frames = (320, 128), 128, 150
        subject.crop = Crop(0, 0, 128)
        for frame in range(150):
            image = np.full((128, 320, 3), 60, np.uint8)
            image[40:, place[frame] + 160 * around :][:, :16] = 220
            write_image(workspace.plate_path(frame), image[:, :128])
            write_image(workspace.root / "footage" / f"{frame:06d}.jpg", image)
        track = make_track(150, head_to_camera=np.tile(np.eye(4) + np.eye(4)[2:3].T * [[0, 0, 0, 0.8]], (150, 1, 1)))
        track.blendshapes[:] = 0
        path = path_over(workspace, track, 2000)
        assert len(path.leaves) > 5
        assert moves[path.frames[path.leaves]].mean() < 0.2


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 26, 60])
def test_footage_of_any_length_is_played_for_ever(workspace, count):
    path = path_over(workspace, moving(count), 400)
    assert len(path.frames) == 400
    assert 0 <= path.frames.min() <= path.frames.max() < count


def test_a_take_ends_at_a_cut_and_at_a_gap():
    valid, cuts = np.ones(100, bool), np.zeros(100, bool)
    valid[[20, 21, 95]], cuts[[60]] = False, True
    track = moving(100, valid=valid, cuts=cuts)
    assert takes(track) == [(0, 20), (22, 60), (60, 95), (96, 100)]
    assert takes(track, 30, 70) == [(30, 60), (60, 70)]


def test_an_idle_part_is_its_longest_take():
    cuts = np.zeros(FRAMES, bool)
    cuts[110] = True
    assert idle_take(moving(cuts=cuts), (4.0, 8.0), Fraction(25)) == (110, 200)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ((18.0, 21.0), "not inside the clip: choose one from 0 to 20 s"),
        ((-1.0, 4.0), "not inside the clip"),
        ((5.0, 4.0), "not inside the clip"),
        ((3.0, 3.9), "too short: choose 1 s or more"),
        ((8.0, 9.5), "no tracked head for 1 s without a cut"),
        ((1.0,), "two numbers"),
        ((1.0, float("nan")), "two numbers"),
    ],
)
def test_a_part_that_cannot_be_idled_in_is_refused_in_a_sentence(part, says):
    valid = np.ones(FRAMES, bool)
    valid[215:225] = False
    with pytest.raises(SyncTalkError, match=says):
        idle_take(moving(valid=valid), part, Fraction(25))


def test_the_calm_part_is_where_the_head_rests():
    track = moving()
    still = slice(250, 410)
    track.head_to_camera[still] = track.head_to_camera[250]
    start_s, stop_s = calm_part(track, Fraction(25))
    assert stop_s - start_s == 6.0
    assert start_s >= 10.0 and stop_s <= 16.4
    with pytest.raises(FaceError, match="No frame"):
        calm_part(moving(valid=np.zeros(FRAMES, bool)), Fraction(25))
    with pytest.raises(SyncTalkError, match="no calm part"):
        calm_part(moving(20), Fraction(25))
