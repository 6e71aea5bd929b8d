"""The tracked head points in the scene: where the footage has them, and fit to hang things on."""

from __future__ import annotations

import numpy as np
import pytest

from . import synthetic_workspace as synthetic


def vertices_px(kit, rig, frame: int) -> np.ndarray:
    """(K, 2) pixels, y down, of the points' vertices at a frame, by Blender's own projection through the scene's camera."""
    import bpy
    from bpy_extras.object_utils import world_to_camera_view

    kit.scene.frame_set(frame)
    item = rig.points.evaluated_get(bpy.context.evaluated_depsgraph_get())
    seen = [world_to_camera_view(kit.scene, kit.scene.camera, item.matrix_world @ v.co) for v in item.data.vertices]
    size = kit.scene.render.resolution_x, kit.scene.render.resolution_y
    return np.array([(place.x * size[0], (1 - place.y) * size[1]) for place in seen])


def test_head_points_lie_where_the_footage_has_them(kit, root, rig):
    tracked = np.load(root / "tracking.npz")["points_px"]
    for frame in (0, 5, 11):
        np.testing.assert_allclose(vertices_px(kit, rig, frame + 1), tracked[frame], atol=0.05)
    assert not np.allclose(tracked[0], tracked[11], atol=1), "a head that stood still would prove nothing"


def test_head_points_of_a_cropped_face_lie_in_the_whole_image(kit):
    root = kit.workspace(source_size=(320, 180), crop=(100.0, 20.0, 144.0))
    rig = kit.import_tracking(root)
    tracked = np.load(root / "tracking.npz")["points_px"][7] * (144 / 96) + (100, 20)
    np.testing.assert_allclose(vertices_px(kit, rig, 8), tracked, atol=0.05)


def test_head_points_are_one_mesh_of_loose_vertices_that_is_not_rendered(kit, rig):
    points = rig.points
    assert points.name == "anna head points"
    assert points.type == "MESH"
    assert (len(points.data.vertices), len(points.data.edges), len(points.data.polygons)) == (6, 0, 0)
    assert points.hide_render
    assert points.visible_get()
    assert points.parent == rig.control


def test_head_points_follow_what_the_control_adds(kit, rig):
    before = vertices_px(kit, rig, 3)
    rig.control.rotation_euler = 0, 0, np.radians(10)
    assert np.linalg.norm(vertices_px(kit, rig, 3) - before, axis=1)[:3].min() > 2, "forehead and nose turn aside"


def test_head_points_say_how_often_and_where_they_were_seen(kit, rig):
    seen = rig.points.data.attributes["seen"]
    assert (seen.data_type, seen.domain) == ("FLOAT", "POINT")
    wanted = synthetic.points_seen(12).mean(0)
    np.testing.assert_allclose([item.value for item in seen.data], wanted, atol=1e-6)
    groups = rig.points.vertex_groups
    members = {
        group.name: [v.index for v in rig.points.data.vertices if group.index in [held.group for held in v.groups]]
        for group in groups
    }
    assert members == {
        "forehead": [0, 1], "nose bridge": [2], "temple.L": [3], "temple.R": [4], "hair and ears": [5],
    }  # fmt: skip


def test_an_empty_can_be_parented_or_constrained_to_a_head_point(kit, root, rig):
    import bpy

    tracked = np.load(root / "tracking.npz")["points_px"]
    parented, held = (bpy.data.objects.new(name, None) for name in ("parented", "held"))
    for item in (parented, held):
        kit.scene.collection.objects.link(item)
    parented.parent, parented.parent_type, parented.parent_vertices = rig.points, "VERTEX", (3, 0, 0)
    copy = held.constraints.new("COPY_LOCATION")
    copy.target, copy.subtarget = rig.points, "nose bridge"
    for frame in (2, 9):
        vertices = vertices_px(kit, rig, frame + 1)
        for item, point in ((parented, 3), (held, 2)):
            place = item.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world.translation
            vertex = rig.points.matrix_world @ rig.points.data.vertices[point].co
            assert (place - vertex).length < 1e-5
            np.testing.assert_allclose(vertices[point], tracked[frame, point], atol=0.05)


@pytest.mark.parametrize("picked", [(2,), (0, 3, 4)], ids=["one vertex", "three vertices"])
def test_the_way_the_page_shows_to_make_a_vertex_parent_works(kit, rig, picked):
    """docs/scene.md: the empty, then the points, in Edit Mode vertices, Ctrl+P."""
    import bpy

    empty = bpy.data.objects.new("glasses", None)
    kit.scene.collection.objects.link(empty)
    kit.scene.frame_set(1)
    for item in kit.scene.objects:
        item.select_set(item in (empty, rig.points))
    bpy.context.view_layer.objects.active = rig.points
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    bpy.ops.object.mode_set(mode="OBJECT")
    for index in picked:
        rig.points.data.vertices[index].select = True
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.object.vertex_parent_set()
    bpy.ops.object.mode_set(mode="OBJECT")
    matrices = []
    for frame in (1, 9):
        kit.scene.frame_set(frame)
        graph = bpy.context.evaluated_depsgraph_get()
        of_empty, of_head = (item.evaluated_get(graph).matrix_world.copy() for item in (empty, rig.points))
        matrices.append((of_empty, of_head))
    (before, head_before), (after, head_after) = matrices
    turned = (after.to_3x3() @ before.to_3x3().inverted()).to_quaternion().angle
    head_turned = (head_after.to_3x3() @ head_before.to_3x3().inverted()).to_quaternion().angle
    assert np.degrees(head_turned) > 5
    assert turned == pytest.approx(head_turned if len(picked) == 3 else 0, abs=1e-3)
    assert (after.translation - before.translation).length > 0.001


def test_what_hangs_on_a_head_point_is_rendered_where_the_point_is(kit, root, rig):
    """The points themselves are disabled in renders, and must be evaluated there all the same."""
    import bpy

    mesh = bpy.data.meshes.new("lamp")
    mesh.from_pydata([(-1, 0, -1), (1, 0, -1), (1, 0, 1), (-1, 0, 1)], [], [(0, 1, 2, 3)])
    lamp = bpy.data.objects.new("lamp", mesh)
    kit.scene.collection.objects.link(lamp)
    lamp.scale = (0.012,) * 3
    lamp.parent, lamp.parent_type, lamp.parent_vertices = rig.points, "VERTEX", (5, 0, 0)
    kit.scene.render.engine = "CYCLES"
    kit.scene.cycles.samples = 1
    for frame in (0, 11):
        alpha = kit.render(frame + 1)[..., 3]
        assert alpha.max() > 0.9, "the lamp is not in the picture"
        rows, columns = np.nonzero(alpha > 0.5)
        tracked = np.load(root / "tracking.npz")["points_px"][frame, 5]
        np.testing.assert_allclose((columns.mean() + 0.5, rows.mean() + 0.5), tracked, atol=1)


def test_importing_again_renews_the_head_points_and_keeps_an_artist_s_groups(kit, root, rig):
    import bpy

    rig.points.name = "something else"
    rig.points.vertex_groups.new(name="glasses").add([3, 4], 1.0, "REPLACE")
    data = dict(np.load(root / "tracking.npz"))
    data["points_head_m"] = data["points_head_m"] + (0.0, 0.01, 0.0)
    np.savez(root / "tracking.npz", **data)
    objects, meshes = len(bpy.data.objects), len(bpy.data.meshes)
    again = kit.import_tracking(root)
    assert again.points == rig.points
    assert (len(bpy.data.objects), len(bpy.data.meshes)) == (objects, meshes)
    np.testing.assert_allclose(again.points.data.vertices[0].co, (0, -0.08, 0.08), atol=1e-6)
    assert again.points.vertex_groups["glasses"].weight(4) == 1.0
    assert [group.name for group in again.points.vertex_groups].count("temple.L") == 1
    for name in ("points_head_m", "points_px", "points_seen"):
        data[name] = data[name][:2] if name == "points_head_m" else data[name][:, :2]
    np.savez(root / "tracking.npz", **data)
    again = kit.import_tracking(root)
    assert len(again.points.data.vertices) == 2
    assert [item.value for item in again.points.data.attributes["seen"].data] == pytest.approx([1.0, 0.5])


@pytest.mark.parametrize("left", ["none", "absent"])
def test_a_workspace_without_head_points_makes_none(kit, left):
    root = kit.workspace()
    data = dict(np.load(root / "tracking.npz"))
    for name in ("points_head_m", "points_px", "points_seen"):
        if left == "absent":
            del data[name]
        else:
            data[name] = data[name][:0] if name == "points_head_m" else data[name][:, :0]
    np.savez(root / "tracking.npz", **data)
    rig = kit.import_tracking(root)
    assert rig.points is None
    assert kit.part("scene.rig").find_rig(kit.scene, root).points is None


def test_a_scene_of_an_earlier_version_gains_head_points(kit, root, rig):
    import bpy

    bpy.data.objects.remove(rig.points)
    assert len(kit.import_tracking(root).points.data.vertices) == 6


def test_head_points_that_went_leave_no_stale_places(kit, root, rig):
    data = dict(np.load(root / "tracking.npz"))
    del data["points_head_m"]
    np.savez(root / "tracking.npz", **data)
    assert len(kit.import_tracking(root).points.data.vertices) == 0
