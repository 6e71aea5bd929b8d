"""USD: UsdSkel's blend shape weights, as Audio2Face-3D and Blender export them, and the rotation of a head joint."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CaptureError
from ...protocol import BLENDSHAPE_NAMES
from ..axes import Y_UP, Z_UP, in_head_frame
from ..face_capture import FaceCapture
from ..names import shape_index
from .frame_times import FrameTimes, at_times, stated_rate
from .values import ShapeColumns, no_known_names

BEGINS = (b"PXR-USDC", b"#usda", b"PK\x03\x04")
"""Binary, text, and a package."""


def read_usd(path: Path, joint: str | None, rate: Fraction | None) -> FaceCapture:
    """The animation of the stage that names the most of ARKit's shapes.

    Args:
        joint: the head's name; None for the joint named head.
        rate: from the user; None for the nearest standard rate of the samples.

    Raises:
        CaptureError: no stage, no animation, or no time samples.
    """
    from pxr import Tf, Usd, UsdGeom, UsdSkel

    try:
        stage = Usd.Stage.Open(str(path))
    except Tf.ErrorException as error:
        raise CaptureError(f"{path} is no USD stage that can be read ({_reason(error)}): export it again.") from error
    animations = [UsdSkel.Animation(prim) for prim in stage.Traverse() if prim.IsA(UsdSkel.Animation)]
    if not animations:
        raise CaptureError(f"{path} has no SkelAnimation: export it with its blend shapes' animation.")
    animation = max(animations, key=lambda one: (_known(_names(one)), _head_joint(one, joint) is not None))
    names = _names(animation)
    found = ShapeColumns.of(names, path)
    head = _head_joint(animation, joint)
    if not found.shapes and head is None:
        raise no_known_names(path, names)
    attribute = animation.GetBlendShapeWeightsAttr() if found.shapes else animation.GetRotationsAttr()
    codes = np.array(attribute.GetTimeSamples())
    if len(codes) < 2:
        raise CaptureError(f"{path}: {animation.GetPath()} has no time samples: export it with its animation.")
    a_second = stage.GetTimeCodesPerSecond()
    stated_rate(a_second, path, "timeCodesPerSecond")
    when = at_times(codes / a_second, rate, path, lambda row: f"time code {codes[row]:g}")
    blendshapes = np.zeros((len(when.times_s), len(BLENDSHAPE_NAMES)))
    present = np.zeros(len(BLENDSHAPE_NAMES), bool)
    if found.shapes:
        rows = [np.array(attribute.Get(code)) for code in codes]
        wrong = next((k for k, row in enumerate(rows) if len(row) != len(names)), None)
        if wrong is not None:
            raise CaptureError(
                f"{path}, time code {codes[wrong]:g}: it has {len(rows[wrong])} weights for {len(names)} blend shapes: "
                "export it again."
            )
        values = np.array(rows, np.float64)[when.kept][:, found.columns]
        blendshapes, present = found.filled(values, path, lambda row: f"time code {codes[when.kept[row]]:g}")
    turn = None
    if head is not None:
        axes = Z_UP if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.z else Y_UP
        turn = _turn(stage, animation, head, codes, when)
        turn = None if turn is None else in_head_frame(turn, axes)
    return FaceCapture(when.times_s, blendshapes, present, when.rate, turn)


def _names(animation: Any) -> list[str]:
    return [str(name) for name in animation.GetBlendShapesAttr().Get() or ()]


def _known(names: list[str]) -> int:
    return sum(shape_index(name) is not None for name in names)


def _head_joint(animation: Any, wanted: str | None) -> int | None:
    """The index of the head's joint; None where the animation turns none."""
    joints = [str(name) for name in animation.GetJointsAttr().Get() or ()]
    name = (wanted or "head").strip().lower()
    return next(
        (k for k, joint in enumerate(joints) if name in (joint.lower(), joint.lower().rsplit("/", 1)[-1])), None
    )


def _turn(stage: Any, animation: Any, joint: int, codes: np.ndarray, when: FrameTimes) -> np.ndarray | None:
    """(n, 3, 3) the joint's rotation from its rest, in the stage's axes; None where it does not turn."""
    attribute = animation.GetRotationsAttr()
    if len(attribute.GetTimeSamples()) < 2:
        return None
    turns = np.array([_matrix(attribute.Get(code)[joint]) for code in codes[when.kept]])
    parent, rest = _rest_of(stage, str(animation.GetJointsAttr().Get()[joint]))
    return parent @ turns @ rest.T @ parent.T


def _rest_of(stage: Any, joint: str) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) twice: the rotation of a joint's parent in the skeleton, and of the joint in its parent, both at rest."""
    from pxr import UsdSkel

    for prim in stage.Traverse():
        if not prim.IsA(UsdSkel.Skeleton):
            continue
        skeleton = UsdSkel.Skeleton(prim)
        joints = [str(name) for name in skeleton.GetJointsAttr().Get() or ()]
        rests = skeleton.GetRestTransformsAttr().Get()
        if joint not in joints or rests is None or len(rests) != len(joints):
            continue
        parts = joint.split("/")
        chain = [name for k in range(1, len(parts)) if (name := "/".join(parts[:k])) in joints]
        parent = np.eye(3)
        for name in chain:
            parent = parent @ _matrix(rests[joints.index(name)].ExtractRotationQuat())
        return parent, _matrix(rests[joints.index(joint)].ExtractRotationQuat())
    return np.eye(3), np.eye(3)


def _matrix(quaternion: Any) -> np.ndarray:
    """(3, 3) of one of USD's quaternions."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat([*quaternion.GetImaginary(), quaternion.GetReal()]).as_matrix()


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip(" '\"")[:120] if str(error).strip() else "damaged"
