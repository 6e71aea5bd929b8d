"""Neck, collar and hair follow a directed head: no gap, no second contour, and nothing else moves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.delivery.from_footage import FromFootage
from backend.delivery.layers import FootageTrack
from backend.delivery.neck import Neck
from backend.delivery.place import Place
from backend.portrait_sync.blend import over
from backend.renderer.lanes import packed
from backend.renderer.underlay import Window, composite_under
from backend.workspace.images import write_image
from backend.workspace.subject import Crop
from tests.backend.delivery import made_up_person as person
from tests.backend.delivery.made_up_person import (
    CAMERA,
    JAW_OPEN,
    NECK,
    RADIUS_PX,
    SIZE,
    draw_head,
    make_person,
    placed,
    project,
    shapes,
    turned,
)

MOTIONS = {
    "pitch up": {"degrees": (-10, 0, 0)},
    "pitch down": {"degrees": (10, 0, 0)},
    "yaw": {"degrees": (0, 10, 0)},
    "roll": {"degrees": (0, 0, 10)},
    "left": {"cm": (-3, 0, 0)},
    "right": {"cm": (3, 0, 0)},
    "up": {"cm": (0, -3, 0)},
    "down": {"cm": (0, 3, 0)},
    "near": {"cm": (0, 0, -3)},
    "far": {"cm": (0, 0, 3)},
    "up, right and rolled": {"cm": (2, -2, 0), "degrees": (0, 0, 10)},
    "jaw": {},
}
WHOLE = Place(1.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_person(tmp_path_factory.mktemp("person") / "person")


@pytest.fixture(scope="module")
def neck(workspace):
    return Neck(workspace, FootageTrack.of(workspace.head_track()))


@pytest.fixture(scope="module")
def pose(workspace):
    return workspace.head_track().head_to_camera[0]


def with_neck(neck, pose, jaw_open=0.0, bare=False):
    """The rendered head, or nothing, and a copy with its neck."""
    head = np.zeros((SIZE, SIZE, 4), np.float32) if bare else draw_head(pose, jaw_open)
    with FromFootage(None, neck).put(placed(head, pose, jaw_open=jaw_open), WHOLE) as shown:
        return head, shown.copy()


def moved(pose, name):
    return turned(pose, **MOTIONS[name]), float(name == "jaw")


def test_a_head_where_the_footage_has_it_is_left_alone(workspace, neck, pose):
    head = draw_head(pose)
    before = head.copy()
    rounded = pose.astype(np.float32).astype(np.float64)
    with FromFootage(None, neck).put(placed(head, rounded, frame=1), WHOLE) as shown:
        np.testing.assert_array_equal(shown, before)


@pytest.mark.parametrize("name", MOTIONS)
def test_the_renderers_buffer_is_as_it_was_afterwards(neck, pose, name):
    pose, jaw_open = moved(pose, name)
    head = draw_head(pose, jaw_open)
    before = head.copy()
    with FromFootage(None, neck).put(placed(head, pose, jaw_open=jaw_open), WHOLE) as shown:
        assert not np.array_equal(shown, before)
    np.testing.assert_array_equal(head, before)


@pytest.mark.parametrize("name", MOTIONS)
def test_no_background_shows_between_jaw_and_neck(workspace, neck, pose, name):
    """Below the rendered chin there is neck: none of the wall's green. Further down a neck that leans leaves the column."""
    pose, jaw_open = moved(pose, name)
    image = over(with_neck(neck, pose, jaw_open)[1], workspace.read_plate(0)).astype(int)
    chin = project(pose, person.face_points())[152]
    for column in range(round(chin[0]) - 15, round(chin[0]) + 16):
        below = image[round(chin[1]) - 10 : round(chin[1]) + 16, column]
        green = below[:, 1] - np.maximum(below[:, 0], below[:, 2])
        assert green.max() < 10, (name, column, green.argmax())


@pytest.mark.parametrize("name", ["left", "right"])
def test_the_neck_beside_the_jaw_moves_with_it(workspace, neck, pose, name):
    """Where the footage's neck was and the moved head has none, the wall shows: else the neck had a second contour."""
    pose, _ = moved(pose, name)
    shift = project(pose, person.face_points())[152, 0] - person.CENTRE_PX[0]
    chin = round(project(pose, person.face_points())[152, 1])
    head, shown = with_neck(neck, pose)
    column = round(person.CENTRE_PX[0] - np.sign(shift) * (person.NECK_PX - 4))  # on the footage's neck
    row = chin - 2
    assert head[row, column, 3] == 0
    still, follows = (over(rgba, workspace.read_plate(0))[row, column].astype(int) for rgba in (head, shown))
    assert np.abs(still - person.NECK).max() < 30, "without it the neck stays"
    assert np.abs(follows - person.WALL).max() < 12


def test_the_neck_below_the_chin_has_the_footages_texture_where_a_lifted_chin_bares_it(workspace, neck, pose):
    """The plate's neck has no texture above row 200, where the footage's chin hid it."""
    pose, _ = moved(pose, "up")
    chin = round(project(pose, person.face_points())[152, 1])
    image = over(with_neck(neck, pose)[1], workspace.read_plate(0))
    bared = image[chin + 6 : 196, 140:180].astype(np.float32)
    assert bared.shape[0] > 8
    grain = np.abs(bared - cv2.GaussianBlur(bared, (0, 0), 3)).mean()
    plate = workspace.read_plate(0)[chin + 6 : 196, 140:180].astype(np.float32)
    assert grain > 4 * np.abs(plate - cv2.GaussianBlur(plate, (0, 0), 3)).mean()


@pytest.mark.parametrize("name", MOTIONS)
def test_a_moved_head_is_nowhere_seen_through(neck, pose, name):
    """It gives way to the footage under the jaw, beside which there is only the wall."""
    head, shown = with_neck(neck, *moved(pose, name))
    assert (shown[..., 3] >= head[..., 3] - 0.03).all()


@pytest.mark.parametrize("name", sorted(MOTIONS.keys() - {"near", "far"}))  # these hardly move the jaw
def test_what_was_rendered_under_the_jaw_is_not_a_second_chin(neck, pose, name):
    """A rim about the face, as a head learns it from the end of its matte: below a jaw that was moved there is none."""
    pose, jaw_open = moved(pose, name)
    head = draw_head(pose, jaw_open)
    wide = cv2.dilate(head[..., 3], cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25)))
    rimmed = head + (wide * (1 - head[..., 3]))[..., None] * np.array([1, 0, 0, 1], np.float32)
    points = person.face_points()
    chin = np.rint(project(pose, points + jaw_open * shapes(points)[JAW_OPEN])[152]).astype(int)
    below = slice(chin[1] + 6, chin[1] + 9), slice(chin[0] - 8, chin[0] + 9)
    assert (rimmed[below][..., 0] == 1).all() and not rimmed[below][..., 1].any()
    with FromFootage(None, neck).put(placed(rimmed, pose, jaw_open=jaw_open), WHOLE) as shown:
        assert np.abs(255 * shown[below][..., :3] - NECK).max() < 50, "the neck and its grain"


def test_the_chin_of_a_head_that_hardly_moves_is_as_rendered(neck, pose):
    head, shown = with_neck(neck, turned(pose, cm=(0, -0.05, 0)))
    assert np.abs(head - shown)[head[..., 3] > 0.99].max() < 0.1


@pytest.mark.parametrize("name", MOTIONS)
def test_background_and_far_torso_are_untouched(neck, pose, name):
    pose, jaw_open = moved(pose, name)
    head, shown = with_neck(neck, pose, jaw_open)
    changed = (head != shown).any(2)
    assert changed.any()
    rows, columns = np.nonzero(changed)
    assert rows.max() < 320 - 4, "nothing moves at the image's lower edge, far from the head"
    assert columns.min() > 40 and columns.max() < SIZE - 40
    body = cv2.dilate(person.body_matte(), np.ones((61, 81), np.uint8)) > 0
    jaw = cv2.dilate(head[..., 3], np.ones((9, 9), np.uint8)) > 0
    assert not changed[~body & ~jaw].any()


@pytest.mark.parametrize(("name", "share"), [(name, share) for name in MOTIONS for share in (0.0, 0.01, 0.5)])
def test_a_small_change_of_the_pose_is_a_small_change_of_the_image(workspace, neck, pose, name, share):
    """Also about the footage's own pose, where the patch begins: by 1/100 of the motion, less than a pixel."""
    plate = workspace.read_plate(0)
    images = []
    for part in (share, share + 0.01):
        at = turned(pose, **{key: tuple(part * value for value in values) for key, values in MOTIONS[name].items()})
        jaw_open = part * (name == "jaw")
        images.append(over(with_neck(neck, at, jaw_open)[1], plate).astype(int))
    change = np.abs(images[0] - images[1])
    contrast = 170  # of neck and wall: half a pixel of an edge is half of it
    assert change.max() <= 0.55 * contrast
    assert change.mean() < 0.4


@pytest.mark.parametrize("name", ["yaw", "right", "jaw"])
def test_the_neck_lies_in_an_image_of_another_size_where_it_lies_in_the_footage(tmp_path, pose, name):
    """A working frame that is a part of a larger source, delivered at another size."""
    workspace = make_person(tmp_path / "part", Crop(100, 40, 160), (400, 300))
    neck = Neck(workspace, FootageTrack.of(workspace.head_track()))
    pose, jaw_open = moved(pose, name)
    source = CAMERA.to_source(workspace.subject)
    shown = []
    for width in (800, 2400):  # the working frame at its own size, and at thrice that
        camera = source.scaled(width, width * 3 // 4)
        place, bare = Place.in_source(workspace.subject, width), np.zeros((camera.height, camera.width, 4), np.float32)
        with FromFootage(None, neck).put(placed(bare, pose, camera, jaw_open=jaw_open), place) as layer:
            shown.append(layer.copy())
    first, third = shown[0], cv2.resize(shown[1], (800, 600), interpolation=cv2.INTER_AREA)
    assert not first[:, :200].any() and first[80:400, 200:520].any()
    np.testing.assert_allclose(first[80:400, 200:520], with_neck(neck, pose, jaw_open, bare=True)[1], atol=1e-5)
    assert np.abs(first - third).mean() < 0.002
    blurred = cv2.GaussianBlur(first - third, (0, 0), 1.5)  # an edge is as sharp as the pixels that it is seen in
    assert np.abs(blurred).max() < 0.1


def test_a_seam_with_the_footage_around_is_not_moved(tmp_path, pose):
    """Below a working frame that ends at the neck's base the footage continues, and stays."""
    workspace = make_person(tmp_path / "part", Crop(0, 0, SIZE), (SIZE, SIZE + 200))
    neck = Neck(workspace, FootageTrack.of(workspace.head_track()))
    low = turned(pose, cm=(3, 6, 0))
    head = np.zeros((SIZE, SIZE, 4), np.float32)
    with FromFootage(None, neck).put(placed(head, low), WHOLE) as shown:
        assert shown.any()
        assert not shown[-round(0.03 * SIZE) :].any()


def test_what_hangs_next_to_a_head_at_the_images_side_moves_with_it_and_a_shoulder_stays(tmp_path, pose):
    """Hair that the image cuts off was pulled out to the image's side: now the wall is beside it."""
    workspace = make_person(tmp_path / "cut")
    mattes, plate = workspace.read_matte(0), workspace.read_plate(0)
    hair = slice(190, 240), slice(190, SIZE)  # from the face to the image's side
    mattes[hair[0], hair[1], 0], mattes[hair[0], hair[1], 2:] = 0, 255
    mattes[150:190, 190:] = (255, 255, 0, 255)  # above it the head's own
    plate[hair] = NECK
    write_image(workspace.matte_path(0), mattes)
    write_image(workspace.plate_path(0), plate)
    neck = Neck(workspace, FootageTrack.of(workspace.head_track()))
    shown = over(with_neck(neck, turned(pose, cm=(-3, 0, 0)))[1], plate).astype(int)
    beside = shown[196:204, SIZE - 6 :]
    assert np.abs(beside - person.WALL).max() < 12
    assert np.abs(shown[300:, SIZE - 6 :] - plate[300:, SIZE - 6 :]).max() < 12, "a shoulder"
    assert np.abs(shown[196:204, SIZE - 60 : SIZE - 40] - NECK).max() < 30


@pytest.mark.parametrize("below", [0, 60, 120])
def test_a_face_whose_chin_is_at_the_images_edge_or_beyond_has_a_neck_as_far_as_there_is_one(tmp_path, pose, below):
    """Nothing is under a jaw that the image does not show."""
    workspace = make_person(tmp_path / "low")
    track = workspace.head_track()
    low = turned(pose, cm=(0, (SIZE - person.CENTRE_PX[1] - RADIUS_PX[1] + below) / 8, 0))
    track.landmarks_px[:] += project(low, person.face_points())[152] - project(pose, person.face_points())[152]
    track.head_to_camera[:] = low
    head = draw_head(low)
    with FromFootage(None, Neck(workspace, FootageTrack.of(track))).put(
        placed(head, turned(low, degrees=(10, 0, 0))), WHOLE
    ) as shown:
        assert np.isfinite(shown).all() and (shown[..., 3] >= head[..., 3] - 0.03).all()


def test_a_frame_without_a_face_and_a_head_behind_the_camera_have_no_neck(workspace, neck, pose):
    head = draw_head(pose)
    for frame, at in (
        (-1, pose),
        (person.FRAMES, pose),
        (0, turned(pose, cm=(0, 0, -200))),
        (0, np.full((4, 4), np.nan)),
    ):
        with FromFootage(None, neck).put(placed(head, at, frame=frame), WHOLE) as shown:
            np.testing.assert_array_equal(shown, draw_head(pose))


def test_the_compiled_composite_is_that_of_plain_interpolation():
    random = np.random.default_rng(3)
    rgba = random.uniform(0, 1, (40, 50, 4)).astype(np.float32)
    rgba[..., :3] *= rgba[..., 3:]
    body = random.integers(0, 256, (60, 72, 4), np.uint8)
    body[..., :3] = np.minimum(body[..., :3], body[..., 3:])
    behind = random.integers(0, 256, (30, 36, 4), np.uint8)
    grid = random.uniform((-3, -3, 0), (3, 3, 1), (5, 6, 3)).astype(np.float32)
    grid[2:, 0, 0], grid[:2, -1, 0] = -5, 9  # from beyond the sides
    window = Window(4, 7, *(np.float32(value) for value in (0.5, 0.5, 1.0, 36.0, 30.0)))
    found = rgba.copy()
    for part in range(3):
        composite_under(part, 3, found, window, grid, packed(body), packed(behind))

    rows, columns = np.mgrid[0:30, 0:36].astype(np.float32) + 0.5
    fine = sample(grid, columns * 6 / 36, rows * 5 / 30)
    warped = sample(body.astype(np.float32), (columns + fine[..., 0]) * 2, (rows + fine[..., 1]) * 2) / 255
    at = columns + fine[..., 0]
    warped *= np.clip(1 - (np.maximum(-at, at - 36)) / 6, 0, 1)[..., None]
    still = behind.astype(np.float32) / 255
    alpha = warped[..., 3:]
    cover = fine[..., 2:] * np.maximum(still[..., 3:], np.minimum(10 * alpha, 1))
    truth = rgba.copy()
    part = truth[4:34, 7:43]
    cover = np.maximum(cover, 0) * (1 - part[..., 3:])
    part += cover * np.concatenate([warped[..., :3] + (1 - alpha) * still[..., :3], np.ones_like(alpha)], 2)
    assert np.abs(truth - rgba).max() > 0.3
    np.testing.assert_allclose(found, truth, atol=0.04)  # the body's alpha, in steps of 1/255, counts tenfold
    assert np.abs(found - truth).mean() < 0.002


def sample(image, x, y):
    """Linear interpolation with edges repeated, in float64: OpenCV's own is in steps of 1/32 of a pixel."""
    x = np.clip(x.astype(float) - 0.5, 0, image.shape[1] - 1)
    y = np.clip(y.astype(float) - 0.5, 0, image.shape[0] - 1)
    left, top = np.minimum(x.astype(int), image.shape[1] - 2), np.minimum(y.astype(int), image.shape[0] - 2)
    u, v = (x - left)[..., None], (y - top)[..., None]
    upper = image[top, left] * (1 - u) + image[top, left + 1] * u
    return upper * (1 - v) + v * (image[top + 1, left] * (1 - u) + image[top + 1, left + 1] * u)
