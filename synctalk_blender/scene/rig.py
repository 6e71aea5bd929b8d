"""The rig of a talking head: its objects, and their values at a frame.

Objects are found by a custom property, never by name, so an artist may rename and regroup them. Values are read from
the evaluated scene, so that keyframes, drivers, constraints, parents and NLA layers all count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import coordinates, paths, shapes
from .directions import Directions
from .errors import SceneError

ROLE = "synctalk_role"
"""On every data-block, node and strip that the add-on made: what it is for, by which it is found again."""
WORKSPACE, ANIMATION, SUBJECT = paths.WORKSPACE, paths.ANIMATION, paths.SUBJECT
ACTIVE = "synctalk_active"
"""On the scene: the id of the head that the engine renders, should the scene hold several.

Not the collection itself: what a property points to is evaluated, also where the artist has excluded it."""
START, RATE = "synctalk_start", "synctalk_fps"
"""On the collection: the scene frame that the imported movement begins at, and the scene's frame rate that it was keyed for."""
SETS_SCENE = "synctalk_sets_scene"
"""On the collection: whether imports set the scene's frame range, the scene having been set up for the clip."""
ON_TRACK = "synctalk_on_track"
"""On the collection: whether the imported poses are those of the footage's frames beneath, and so follow its track."""
CAPTURED = "synctalk_captured"
"""On the collection: that the animation imported last is a capture, whose settings fit it again."""
CAMERA_MOVES = "synctalk_camera_moves"
"""On the collection of a clip whose camera moves: whether the scene's moves with it."""
FRAME_SIZE = "synctalk_frame_size"
"""On the collection: width and height of the footage's frames, pixels."""
PARTS = ("camera", "head", "control", "face")
"""The roles of the objects that every rig needs."""


@dataclass(frozen=True)
class Rig:
    """The objects of one subject."""

    collection: bpy.types.Collection
    camera: bpy.types.Object
    head: bpy.types.Object
    """Empty with the imported pose as keyframes; replaced at each import."""
    control: bpy.types.Object
    """Empty below `head`, the artist's: what it adds turns and moves the head. Its world matrix is the head's pose."""
    face: bpy.types.Object
    """Mesh with the 52 shape keys, parented to `control`."""
    points: bpy.types.Object | None = None
    """Mesh of loose vertices, the tracked head points, parented to `control`; None where there are none."""

    @property
    def workspace(self) -> Path:
        return paths.workspace_of(self.collection)

    @property
    def animation(self) -> Path | None:
        """The `animation.npz` that was imported last; None for the footage's own movement."""
        return paths.animation_of(self.collection)

    @property
    def is_captured(self) -> bool:
        """Whether that is a capture."""
        return self.animation is not None and bool(self.collection.get(CAPTURED))

    @property
    def name(self) -> str:
        """The subject's name, from the collection's name."""
        return self.collection.name.removeprefix("SyncTalk ")


def collections_of(scene: bpy.types.Scene) -> list[bpy.types.Collection]:
    """The collections of `scene` that an import made, complete or not; that of the head which is rendered comes
    first."""
    active = scene.get(ACTIVE)
    found = [collection for collection in scene.collection.children_recursive if collection.get(ROLE) == "collection"]
    # Earlier versions kept the path of the workspace.
    return sorted(found, key=lambda item: not active or active not in (item.get(SUBJECT), item.get(WORKSPACE)))


def parts_of(scene: bpy.types.Scene, collection: bpy.types.Collection) -> dict[str, bpy.types.Object]:
    """The objects of the rig in `collection` by their role, also those that were moved elsewhere in the scene."""
    found: dict[str, bpy.types.Object] = {}
    for item in collection.all_objects:
        if item.get(ROLE):
            found.setdefault(item[ROLE], item)  # a duplicate comes after what it was made of
    subject = collection.get(SUBJECT)
    if subject and not found.keys() >= set(PARTS):
        others = {item for other in collections_of(scene) if other != collection for item in other.all_objects}
        for item in scene.objects:
            if item.get(SUBJECT) == subject and item.get(ROLE) and item not in others:
                found.setdefault(item[ROLE], item)
    return found


def find_collection(scene: bpy.types.Scene, workspace: Path, subject_id: str) -> bpy.types.Collection | None:
    """The collection of the head of `workspace`, whole or not; None if there is none."""
    return next((item for item in collections_of(scene) if is_of(item, workspace, subject_id)), None)


def missing_parts(scene: bpy.types.Scene, collection: bpy.types.Collection) -> list[str]:
    """The roles of the objects that `collection` has lost."""
    found = parts_of(scene, collection)
    return [role for role in PARTS if role not in found]


def rigs_of(scene: bpy.types.Scene) -> list[Rig]:
    """All complete rigs of `scene`; that which is rendered comes first."""
    found = []
    for collection in collections_of(scene):
        objects = parts_of(scene, collection)
        if objects.keys() >= set(PARTS):
            found.append(Rig(collection, *(objects[role] for role in PARTS), points=objects.get("points")))
    return found


def find_rig(scene: bpy.types.Scene, workspace: Path | None = None, subject_id: str = "") -> Rig | None:
    """The rig of `workspace`; without one, the rig that the engine renders; None if there is none."""
    found = rigs_of(scene)
    if workspace is None:
        return found[0] if found else None
    return next((item for item in found if is_of(item.collection, workspace, subject_id)), None)


def is_of(collection: bpy.types.Collection, workspace: Path, subject_id: str) -> bool:
    """Whether `collection` holds the head of `workspace`, also if that was moved since.

    A copy of a workspace has the original's id, and is another subject as long as the original is where it was.
    """
    if not collection.get(WORKSPACE):
        return False
    place = paths.workspace_of(collection)
    if paths.same_place(place, workspace):
        return True
    known = collection.get(SUBJECT)
    is_same = known == subject_id if known else place.name == workspace.name
    return bool(is_same and subject_id) and not (place / "subject.json").exists()


def use_workspace(scene: bpy.types.Scene, found: Rig, workspace: Path) -> None:
    """Have the engine render `found` from `workspace`, where its files are now."""
    if found.collection.library is None and not paths.same_place(found.workspace, workspace):
        paths.keep_workspace(found.collection, workspace)
    set_active(scene, found)


def set_active(scene: bpy.types.Scene, found: Rig) -> None:
    """Have the engine render `found`, through its own camera where the scene looked through that of another head."""
    scene[ACTIVE] = found.collection.get(SUBJECT) or found.collection[WORKSPACE]
    cameras = [item.camera for item in rigs_of(scene)]
    if scene.camera is None or (scene.camera in cameras and scene.camera != found.camera):
        scene.camera = found.camera


def require_rig(scene: bpy.types.Scene) -> Rig:
    """`find_rig`, or an error.

    Raises:
        SceneError: the scene holds no rig.
    """
    rig = find_rig(scene)
    broken = [] if rig is not None else collections_of(scene)
    if broken:
        raise SceneError(lost_in_words(scene, broken[0]))
    if rig is None:
        raise SceneError(f"The scene “{scene.name}” has no SyncTalk head: press Send to Scene in the Track panel.")
    return rig


def lost_in_words(scene: bpy.types.Scene, collection: bpy.types.Collection) -> str:
    """One sentence on the objects that `collection` has lost; empty where it has all."""
    missing = missing_parts(scene, collection)
    if not missing:
        return ""
    return (
        f"“{collection.name}” has lost its {' and '.join(missing)}: press Send to Scene in the Track panel to "
        "restore it."
    )


def read_rig(rig: Rig, depsgraph: bpy.types.Depsgraph, camera_to_world: np.ndarray | None = None) -> Directions:
    """The values of `rig` at the frame that `depsgraph` is evaluated at.

    Args:
        camera_to_world: (4, 4) of the viewpoint; the rig's own camera when absent.

    Raises:
        SceneError: an object of the rig is not evaluated, being hidden or excluded.
    """
    control = _evaluated(rig.control, depsgraph)
    if camera_to_world is None:
        camera_to_world = world_matrix(_evaluated(rig.camera, depsgraph))
    head_to_world = world_matrix(control)
    pose = coordinates.head_to_camera(head_to_world, camera_to_world)
    keys = rig.face.data.shape_keys
    if keys is None:
        raise SceneError(
            f"The face mesh “{rig.face.name}” has lost its shape keys: press Send to Scene in the Track panel."
        )
    _evaluated(rig.face, depsgraph)
    expression = shapes.values(keys, keys.evaluated_get(depsgraph)) + shapes.offsets(control)
    return Directions(pose, expression, coordinates.scale_of(head_to_world))


def world_matrix(item: bpy.types.Object) -> np.ndarray:
    """(4, 4) float64 of an object's world matrix."""
    return np.array(item.matrix_world, np.float64)


def _evaluated(item: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> bpy.types.Object:
    evaluated = item.evaluated_get(depsgraph)
    if not evaluated.is_evaluated:
        where = "in renders" if depsgraph.mode == "RENDER" else "in viewports"
        raise SceneError(f"“{item.name}” is disabled {where} or its collection is excluded: enable it in the Outliner.")
    return evaluated
