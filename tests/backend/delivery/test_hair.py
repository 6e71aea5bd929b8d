"""The footage's hair on a rendered head: its own strands where the head is turned as in the footage, and nowhere on the face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import interpolate

from backend.delivery.from_footage import FromFootage, Taking
from backend.delivery.hair import Hair
from backend.delivery.layers import FootageTrack
from backend.delivery.place import Place
from backend.portrait_sync.blend import over
from backend.portrait_sync.hair_layer import CUT, EAR_WIDTH, EARS, SPREAD, hair_layer
from backend.portrait_sync.head_region import BROW, OUTLINE_M
from backend.portrait_sync.matte_doubt import no_doubt
from backend.renderer.lanes import packed
from backend.renderer.overlay import replace_by
from backend.workspace.images import write_image
from backend.workspace.poses import image_similarity
from tests.backend.delivery import made_up_person as person
from tests.backend.delivery.made_up_person import CAMERA, SIZE, draw_head, make_person, placed, turned

WHOLE = Place(1.0, 0.0, 0.0)
STRANDS, LOOSE = (60, 40, 20), (200, 90, 10)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """The drawn person with striped hair on top of the head, and a loose strand beside it, which no rendered head has."""
    found = make_person(tmp_path_factory.mktemp("hair") / "person")
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    plate, mattes = found.read_plate(0).astype(np.float32), found.read_matte(0).astype(np.float32)
    centre, radius = person.CENTRE_PX, person.RADIUS_PX
    distance = np.hypot((columns - centre[0]) / (radius[0] + 8), (rows - centre[1]) / (radius[1] + 12))
    hair = 255.0 * ((distance < 1) & (rows < centre[1] - 40)) + 255.0 * (
        (abs(columns - 215) < 2) & (rows > 80) & (rows < 110)
    )
    head = np.maximum(mattes[..., 0], hair)
    striped = np.where((columns % 4 < 2)[..., None], STRANDS, LOOSE)
    face = np.full((SIZE, SIZE, 3), person.SKIN)
    colour = np.where(hair[..., None] > 0, striped, face)
    frame = plate + head[..., None] / 255 * (colour - plate)
    mattes[..., 0], mattes[..., 1] = head, hair
    for index in range(person.FRAMES):
        write_image(found.frame_path(index), np.rint(frame).astype(np.uint8))
        write_image(found.matte_path(index), np.rint(mattes).astype(np.uint8))
    return found


@pytest.fixture(scope="module")
def hair(workspace):
    return Hair(workspace, FootageTrack.of(workspace.head_track()))


@pytest.fixture(scope="module")
def pose(workspace):
    return workspace.head_track().head_to_camera[0]


def shown(hair, pose, place=WHOLE, camera=CAMERA, jaw_open=0.0):
    with FromFootage(hair, None).put(placed(draw_head(pose, jaw_open, camera), pose, camera), place) as rgba:
        return rgba.copy()


def test_a_head_where_the_footage_has_it_shows_the_frames_own_hair(workspace, hair, pose):
    image, frame = over(shown(hair, pose), workspace.read_plate(0)), workspace.read_frame(0)
    rendered = over(draw_head(pose), workspace.read_plate(0))
    is_hair = workspace.read_matte(0)[..., 1] > 127
    apart = np.abs(image.astype(int) - frame).max(2)
    assert apart[is_hair].max() <= 1
    assert np.abs(rendered.astype(int) - frame).max(2)[is_hair].mean() > 40, "the rendered head has none of it"


def test_the_face_and_what_is_far_from_the_hair_are_the_rendered_ones(workspace, hair, pose):
    head = draw_head(pose, 1.0)
    changed = (shown(hair, pose, jaw_open=1.0) != head).any(2)
    assert changed.any()
    rows, columns = np.nonzero(changed)
    brows = person.CENTRE_PX[1] - 0.3 * person.RADIUS_PX[1]
    on_face = (np.abs(columns - person.CENTRE_PX[0]) < 24) & (rows > brows)
    assert not on_face.any()
    chin = person.CENTRE_PX[1] + person.RADIUS_PX[1]
    assert rows.max() < chin - EARS[0] * person.FACE_HEIGHT + 1
    beside = person.RADIUS_PX[0] + (EAR_WIDTH + SPREAD) * person.FACE_HEIGHT + 1
    low = rows > brows
    assert low.any() and np.abs(columns[low] - person.CENTRE_PX[0]).max() < beside


def test_faint_strands_of_a_rendered_head_are_not_before_the_background_beside_the_hair(hair, pose):
    """Before the wall beside the hair the frame has nothing; on the cheeks, which move, the rendered head stays."""
    head = draw_head(pose)
    faint = np.maximum(head, np.float32([0.02, 0.02, 0.02, 0.1]))
    with FromFootage(hair, None).put(placed(faint, pose), WHOLE) as rgba:
        found = rgba.copy()
    above = (slice(41, 46), slice(140, 180))
    assert found[above].max() < 0.01
    np.testing.assert_array_equal(found[300:], faint[300:])
    cheek = (round(person.CENTRE_PX[1]) + 30, round(person.CENTRE_PX[0] + person.RADIUS_PX[0]) - 14)
    np.testing.assert_array_equal(found[cheek], faint[cheek])


@pytest.mark.parametrize("cm", [(3, 0, 0), (0, -3, 0), (-2, 1, 3)])
def test_hair_moves_with_a_head_that_is_moved(workspace, hair, pose, cm):
    """The strands are where the head's own geometry takes them: as sharp, and within a pixel."""
    at = turned(pose, cm=cm)
    found, still = shown(hair, at), shown(hair, pose)
    crown = np.array([[0.0, OUTLINE_M[0, 1], -person.PIVOT_M[2]]])  # all of the drawn head is a plane
    (now, _), (then, _) = CAMERA.project(at, crown), CAMERA.project(pose, crown)
    moved = np.rint(now - then)[0].astype(int)
    patch = (slice(80, 92), slice(130, 190))
    scale = CAMERA.project(at, crown)[1][0] / CAMERA.project(pose, crown)[1][0]
    if abs(scale - 1) < 1e-6:
        there = found[
            patch[0].start + moved[1] : patch[0].stop + moved[1], patch[1].start + moved[0] : patch[1].stop + moved[0]
        ]
        half_a_strand = 0.5 * np.abs(np.diff(still[patch], axis=1)).max()
        assert np.abs(there - still[patch]).max() < half_a_strand + 0.1
    assert (found != draw_head(at)).any()


def test_a_head_that_is_turned_away_has_its_rendered_hair_and_passes_there_evenly(hair, pose):
    turns = np.linspace(0, 30, 31)
    differences = []
    for degrees in turns:
        at = turned(pose, degrees=(0, degrees, 0))
        differences.append(np.abs(shown(hair, at) - draw_head(at)).mean())
    assert differences[0] > 0.001 and differences[-1] == 0
    steps = np.abs(np.diff(differences))
    assert steps.max() < 0.35 * differences[0]


def test_an_ear_is_the_footages_and_turns_with_it(workspace, hair, pose):
    """A rendered head has none where the frame has one, nor a second one beside it."""
    layer = hair._layer(0)
    at = (round(person.CENTRE_PX[1]) + 5 - layer.y, round(person.CENTRE_PX[0] + person.RADIUS_PX[0]) + 8 - layer.x)
    assert layer.weight[at] == 255
    mattes = layer.mattes.astype(int)
    np.testing.assert_array_equal(mattes[..., 1] + mattes[..., 2], mattes[..., 3])
    assert mattes[..., 2].max() == 255, "skin is no hair"
    flame = draw_head(pose).copy()
    place = at[0] + layer.y, at[1] + layer.x
    flame[place[0] - 3 : place[0] + 4, place[1] - 3 : place[1] + 4] = 1.0
    with FromFootage(hair, None).put(placed(flame, pose), WHOLE) as rgba:
        assert rgba[place].max() == 0


def cut_layer(workspace, left=0, top=0, piece=(slice(0), slice(0)), colour=0):
    """Of a frame whose first columns and rows are cut off; a piece of it has a colour, and nothing is known of what is behind that."""
    images = workspace.read_frame(0), workspace.read_plate(0), workspace.read_matte(0), np.ones((SIZE, SIZE), bool)
    images[0][piece], images[3][piece] = colour, False
    points = workspace.head_track().landmarks_px[0] - np.float32([left, top])
    frame, plate, mattes, seen = (np.ascontiguousarray(image[top:, left:]) for image in images)
    return hair_layer(frame, plate, mattes, points, seen)


def test_hair_that_the_frame_cuts_off_at_a_side_ends_softly_where_it_is_moved(workspace):
    """Else the layer's end is a line along what is rendered beyond it."""
    layer = cut_layer(workspace, left=125)
    assert layer.cut == (True, False, False)
    row = int(np.argmax(layer.weight[:, 0] == 255))
    assert layer.weight[row, 0] == 255
    np.testing.assert_array_equal(layer.moved(0.0).weight, layer.weight)
    width = 12
    assert width < CUT * person.FACE_HEIGHT
    ends = layer.moved(width).weight[row].astype(int)
    assert ends[0] < 30 and (np.diff(ends[:width]) > 0).all()
    np.testing.assert_array_equal(layer.moved(width).weight[:, width + 1 :], layer.weight[:, width + 1 :])


def test_a_crown_that_the_frame_cuts_off_is_whole_where_the_head_is_moved(workspace):
    """As high as the outline beside the cut says, with the strands below it mirrored."""
    top = 70  # through the hair, whose highest row is 54
    layer = cut_layer(workspace, top=top)
    assert layer.cut == (False, True, False)
    moved = layer.moved(10.0)
    above = layer.y - moved.y
    assert above > 0 and not moved.cut[1]
    for name in ("hair", "weight"):
        np.testing.assert_array_equal(getattr(moved, name)[above:], getattr(layer, name), err_msg=name)
    still, alpha = moved.head[above:], layer.head[..., 3]
    edge = cv2.dilate(alpha, np.ones((3, 3), np.uint8)) != cv2.erode(alpha, np.ones((3, 3), np.uint8))
    edge[0] = True  # it has the crown above it
    np.testing.assert_array_equal(still[~edge], layer.head[~edge])
    assert np.abs(still[edge].astype(int) - layer.head[edge]).max() > 20, "its outline has no steps"
    shown = moved.head[:above, :, 3] > 127
    rows = shown.any(1).sum()
    assert rows == pytest.approx(top - 54, rel=0.3)
    width = (layer.head[0, :, 3] > 127).sum()
    assert shown[-1].sum() == pytest.approx(width, abs=4)
    widths = shown.sum(1)
    assert (np.diff(widths) >= 0).all() and widths[above - rows] < 0.6 * width, "it is round"
    middle = slice(round(person.CENTRE_PX[0]) - layer.x - 8, round(person.CENTRE_PX[0]) - layer.x + 8)
    np.testing.assert_allclose(moved.head[above - 1, middle].astype(int), layer.head[0, middle], atol=2)
    assert moved.weight[:above][shown].min() == 255
    assert cut_layer(workspace).moved(10.0).y == cut_layer(workspace).y, "a whole crown stays"


def put_over(layer, alpha):
    """The alpha of a layer put over a rendered head that has the same one everywhere."""
    ends = [0.5, layer.width - 0.5], [0.5, layer.height - 0.5]
    grid = np.stack(np.broadcast_arrays(np.array(ends[0]), np.array(ends[1])[:, None]), -1).astype(np.float32)
    rgba = np.full((layer.height, layer.width, 4), alpha, np.float32)
    replace_by(0, 1, rgba, grid, packed(layer.head), layer.weight, layer.doubt, np.float32(1))
    return rgba[..., 3]


def within(layer, patch):
    """A patch of the frame in a layer, without its border."""
    return tuple(
        slice(part.start + 1 - first, part.stop - 1 - first)
        for part, first in zip(patch, (layer.y, layer.x), strict=True)
    )


PATCH = slice(58, 63), slice(155, 165)
"""In the hair, above the face."""


def test_a_hole_in_hair_before_a_wall_of_its_colour_is_the_rendered_heads_where_that_is_moved(workspace):
    """A matte cannot tell dark roots from a dark wall. Where the head is moved, the wall is elsewhere and the hole would be seen."""
    frame, plate, mattes = workspace.read_frame(0), workspace.read_plate(0), workspace.read_matte(0)
    points, seen = workspace.head_track().landmarks_px[0], np.ones((SIZE, SIZE), bool)
    mattes[PATCH] = 0
    for wall, is_hole in (((62, 31, 7), True), (person.WALL, False)):
        plate[...], frame[PATCH] = wall, wall
        layer = hair_layer(frame, plate, mattes, points, seen)
        moved, inside = layer.moved(20.0), within(layer, PATCH)
        assert put_over(moved, 1.0)[inside].min() > 0.9 if is_hole else put_over(moved, 1.0)[inside].max() < 0.05
        assert put_over(moved, 0.3)[inside].max() < 0.05, "nothing that a rendered head has no more than faintly"
        assert layer.moved(0.0).doubt.max() == 0, "where the head is, a hole shows what the frame shows"


def test_an_outlines_own_steps_and_softness_are_not_doubted(workspace):
    """Notches between the steps of a slanted outline are no holes, and colours that its matte mixes are no wall: both were teeth."""
    frame, plate, mattes = workspace.read_frame(0), workspace.read_plate(0), workspace.read_matte(0)
    points, nowhere = workspace.head_track().landmarks_px[0], np.zeros((SIZE, SIZE), bool)
    for wall in ((62, 31, 7), (20, 120, 250)):  # of the hair's colour, and another
        plate[...] = wall
        alpha = mattes[..., :1].astype(np.float32) / 255
        alpha, hair = (
            cv2.GaussianBlur(part, (0, 0), 2.5)[..., None] for part in (alpha, mattes[..., 1].astype(np.float32))
        )
        soft = mattes.copy()
        soft[..., 0], soft[..., 1] = 255 * alpha[..., 0], hair[..., 0]
        shown = np.where(mattes[..., :1] > 127, frame, np.mean([STRANDS, LOOSE], 0))
        shown = np.rint(shown * alpha + plate * (1 - alpha)).astype(np.uint8)
        layer = hair_layer(shown, plate, soft, points, nowhere).moved(20.0)
        rim = (layer.head[..., 3] > 5) & (layer.head[..., 3] < 200)
        rim[points[BROW, 1].astype(int) - layer.y :] = False
        assert rim.any() and layer.doubt[rim].max() < 64, wall


def test_a_piece_of_a_wall_that_no_frame_shows_is_no_hair_where_a_rendered_head_has_none(workspace):
    """A matte takes it along where nothing says how the wall looks."""
    frame, plate, mattes = workspace.read_frame(0), workspace.read_plate(0), workspace.read_matte(0)
    points, seen = workspace.head_track().landmarks_px[0], np.ones((SIZE, SIZE), bool)
    piece = slice(40, 50), slice(150, 170)  # above the hair
    mattes[piece] = 255
    for colour, is_seen, stays in (
        ((200, 190, 180), False, False),
        (tuple(np.mean([STRANDS, LOOSE], 0)), False, True),
        ((200, 190, 180), True, True),
    ):
        frame[piece], seen[30:56, 140:180] = colour, is_seen
        layer = hair_layer(frame, plate, mattes, points, seen).moved(20.0)
        inside = within(layer, piece)
        assert (put_over(layer, 0.0)[inside] > 0.5).all() == stays, (colour, is_seen)
        assert put_over(layer, 1.0)[inside].min() > 0.9, "what a rendered head has as well is hair"


def test_a_piece_of_wall_where_the_frame_cuts_a_crown_off_gets_the_hairs_colour_where_the_head_is_moved(workspace):
    """Beside a crown that the frame cuts off there is no outline that would tell it from a pale parting; else it is mirrored as well."""
    top, piece = 70, (slice(70, 74), slice(150, 170))
    layer = cut_layer(workspace, top=top, piece=piece, colour=(240, 240, 240))
    moved, columns = layer.moved(20.0), slice(152 - layer.x, 168 - layer.x)
    above = layer.y - moved.y
    hair = layer.head[6:10, columns, :3].reshape(-1, 3).astype(float)
    for rows in (slice(above, above + 3), slice(above - 3, above)):
        found = moved.head[rows, columns].reshape(-1, 4)
        assert np.abs(found[:, :3].mean(0) - hair.mean(0)).max() < 25
        assert found[:, 3].min() == 255, "the crown is whole"
    np.testing.assert_array_equal(layer.moved(0.0).head[above:], layer.head, "where the head is, it is the frame")
    own = cut_layer(workspace, top=top)
    np.testing.assert_array_equal(own.moved(20.0).head[above + 1 : above + 4, columns], own.head[1:4, columns])


def test_a_layer_changes_little_where_it_begins_to_be_moved(workspace):
    layer = cut_layer(workspace)
    first, second = (layer.moved(px) for px in (0.02, 0.32))
    np.testing.assert_array_equal(first.weight, layer.weight)
    for less, more in ((layer.head, first.head), (first.head, second.head)):
        assert np.abs(less.astype(int) - more).max() <= 16, "in the first third of a pixel"


def test_beside_hair_the_layer_over_its_plate_is_the_frame_whatever_was_guessed_behind_it(workspace):
    """A matte of 0.1 cannot make a brown post of a blue guess."""
    frame, plate, mattes = workspace.read_frame(0), workspace.read_plate(0), workspace.read_matte(0)
    points, seen = workspace.head_track().landmarks_px[0], np.ones((SIZE, SIZE), bool)
    piece = slice(44, 52), slice(150, 170)
    frame[piece], plate[piece], mattes[piece] = (120, 90, 80), (30, 40, 90), (25, 25, 0, 25)
    for known in (True, False):
        seen[piece] = known
        layer = hair_layer(frame, plate, mattes, points, seen)
        inside = within(layer, piece)
        head = layer.head[inside].astype(float)
        shown = head[..., :3] + (1 - head[..., 3:] / 255) * plate[piece][1:-1, 1:-1]
        apart = np.abs(shown - frame[piece][1:-1, 1:-1]).max()
        assert (apart > 20) if known else (apart < 2), "known, it is no part of the head"


def test_the_renderers_buffer_is_as_it_was_afterwards(hair, pose):
    head = draw_head(pose)
    before = head.copy()
    with FromFootage(hair, None).put(placed(head, pose), WHOLE) as rgba:
        assert (rgba != before).any()
    np.testing.assert_array_equal(head, before)


def test_the_same_in_an_image_of_another_size(hair, pose):
    twice = shown(hair, pose, Place(2.0, 0.0, 0.0), CAMERA.scaled(2 * SIZE, 2 * SIZE))
    half = twice.reshape(SIZE, 2, SIZE, 2, 4).mean((1, 3))
    assert np.abs(half - shown(hair, pose)).mean() < 0.004


@pytest.mark.parametrize("frame", [-1, person.FRAMES])
def test_no_frame_no_hair(hair, pose, frame):
    head = draw_head(pose)
    with FromFootage(hair, None).put(placed(head.copy(), pose, frame=frame), WHOLE) as rgba:
        np.testing.assert_array_equal(rgba, head)


def test_a_bald_head_has_no_layer(workspace):
    mattes = workspace.read_matte(0)
    mattes[..., 1] = 0
    landmarks = workspace.head_track().landmarks_px[0]
    seen = np.ones((SIZE, SIZE), bool)
    assert hair_layer(workspace.read_frame(0), workspace.read_plate(0), mattes, landmarks, seen) is None


def test_both_are_taken_or_each_alone(workspace, pose):
    at = turned(pose, cm=(2, 0, 0))
    track = workspace.head_track()

    def image(**taking):
        taken = FromFootage.of(workspace, track, Taking(**taking))
        with taken.put(placed(draw_head(at), at), WHOLE) as rgba:
            return rgba.copy()

    head, hair, neck, both = draw_head(at), image(neck=False), image(hair=False), image()
    np.testing.assert_array_equal(image(hair=False, neck=False), head)
    by_hair, by_neck = (hair != head).any(2), (neck != head).any(2)
    assert by_hair.any() and by_neck.any()
    # Under a soft outline the neck is seen, and the jaw, where a head ends that has a neck, has hair beside it.
    opaque = (head[..., 3] > 0) & (hair[..., 3] >= head[..., 3])
    np.testing.assert_array_equal(both[by_hair & ~by_neck & opaque], hair[by_hair & ~by_neck & opaque])
    np.testing.assert_allclose(both[by_neck & ~by_hair], neck[by_neck & ~by_hair], atol=1e-6)


def test_similarity_explains_roll_shift_and_scale():
    points = np.random.default_rng(0).normal(size=(20, 2)) * 50
    turn = 1.1 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])
    others = points @ turn.T + [5, -3]
    np.testing.assert_allclose(image_similarity(points, others), np.column_stack([turn, [5, -3]]), atol=1e-9)


@pytest.mark.parametrize("doubts", [False, True])
def test_the_compiled_layer_is_that_of_plain_interpolation(doubts):
    random = np.random.default_rng(1)
    rgba = random.uniform(0, 1, (30, 40, 4)).astype(np.float32)
    layer, weight = random.integers(0, 256, (26, 34, 4), np.uint8), random.integers(0, 256, (26, 34), np.uint8)
    y, x = np.mgrid[0:4, 0:5] / [[[3]], [[4]]]
    grid = np.stack([1.2 + 33 * x + 3 * np.sin(3 * y), 2.8 + 24.4 * y - 4 * x * y], -1).astype(np.float32)
    found = rgba.copy()
    doubt = random.integers(0, 256, (*weight.shape, 2), np.uint8) if doubts else no_doubt()
    for part in range(3):
        replace_by(part, 3, found[2:, 3:], grid, packed(layer), weight, doubt, np.float32(0.7))
    rows, columns = np.mgrid[0:28, 0:37] / [[[27]], [[36]]]
    u, v = (
        interpolate.RegularGridInterpolator((y[:, 0], x[0]), grid[..., axis].astype(float))((rows, columns)) - 0.5
        for axis in (0, 1)
    )
    inside = (u >= 0) & (v >= 0) & (u <= 33) & (v <= 25)
    left, top = np.clip(u.astype(int), 0, 32), np.clip(v.astype(int), 0, 24)
    both = np.dstack([layer, weight]).astype(float)
    a, b = (u - left)[..., None], (v - top)[..., None]
    upper = both[top, left] * (1 - a) + both[top, left + 1] * a
    lower = both[top + 1, left] * (1 - a) + both[top + 1, left + 1] * a
    sampled = (upper * (1 - b) + lower * b) / 255
    truth = rgba.copy()
    counts = 0.7 * sampled[..., 4:] * inside[..., None]
    if doubts:
        below, alpha = rgba[2:, 3:, 3:], sampled[..., 3:4]
        holes, hair = np.split(doubt[top, left] / 255, 2, axis=-1)
        counts *= 1 - holes * np.clip((below - 0.6) / 0.3, 0, 1) * (1 - alpha)
        counts *= 1 - hair * np.clip((0.6 - below) / 0.3, 0, 1) * alpha
    truth[2:, 3:] += counts * (sampled[..., :4] - truth[2:, 3:])
    assert inside.any() and not inside.all()
    np.testing.assert_allclose(found, truth, atol=1.6 / 255)  # between texels by 256 shares, rounded once to 8 bits
    assert np.abs(found - truth).mean() < 0.2 / 255


@pytest.mark.parametrize("side", [97, 255, 512])
def test_an_image_put_where_it_is_has_all_of_its_pixels(side):
    """The outermost ones too: their places are computed from the window's corners, and rounded."""
    random = np.random.default_rng(side)
    rgba = np.zeros((side, side, 4), np.float32)
    layer = random.integers(0, 256, (side, side, 4), np.uint8)
    ends = np.array([0.5, side - 0.5])
    grid = np.stack(np.broadcast_arrays(ends, ends[:, None]), -1).astype(np.float32)
    replace_by(0, 1, rgba, grid, packed(layer), np.full((side, side), 255, np.uint8), no_doubt(), np.float32(1))
    np.testing.assert_allclose(255 * rgba, layer, atol=0.51)
