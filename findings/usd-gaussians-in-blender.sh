#!/usr/bin/env bash
# usd-core 26.11 and bpy 5.0.1: a stage with a ParticleField3DGaussianSplat (OpenUSD 26.03 and later) beside a mesh that has a blend
# shape and a skeleton without joints.
# Expected: Blender, whose OpenUSD is older, warns of the type that it does not know; a skeleton without joints is refused.
# Seen: Blender imports the mesh with its shape key and drops the Gaussians without a word. Both apply the blend shape although the
# skeleton has no joint, so none is needed, and Blender's armature is then empty instead of a bone a metre long.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/usd"
"$folder/usd/bin/pip" install -q usd-core==26.11
python3.11 -m venv "$folder/blender"
"$folder/blender/bin/pip" install -q bpy==5.0.1
export BLENDER_USER_RESOURCES="$folder/resources" STAGE="$folder/stage.usda"
cat >"$STAGE" <<'USDA'
#usda 1.0
(
    defaultPrim = "head"
    metersPerUnit = 1
    upAxis = "Y"
)
def Xform "head"
{
    def ParticleField3DGaussianSplat "gaussians"
    {
        float[] opacities = [0.5]
        quatf[] orientations = [(1, 0, 0, 0)]
        point3f[] positions = [(0, 1, 0)]
        float3[] radiance:sphericalHarmonicsCoefficients = [(1, 0, -1)]
        uniform int radiance:sphericalHarmonicsDegree = 0
        float3[] scales = [(0.1, 0.2, 0.3)]
    }
    def SkelRoot "rig"
    {
        def Skeleton "skeleton" (prepend apiSchemas = ["SkelBindingAPI"])
        {
            uniform matrix4d[] bindTransforms = []
            uniform token[] joints = []
            uniform matrix4d[] restTransforms = []
            rel skel:animationSource = </head/rig/weights>
        }
        def SkelAnimation "weights"
        {
            uniform token[] blendShapes = ["jawOpen"]
            float[] blendShapeWeights = [1]
        }
        def Mesh "face" (prepend apiSchemas = ["SkelBindingAPI"])
        {
            int[] faceVertexCounts = [3]
            int[] faceVertexIndices = [0, 1, 2]
            point3f[] points = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
            uniform token[] skel:blendShapes = ["jawOpen"]
            rel skel:blendShapeTargets = [</head/rig/face/jawOpen>]
            rel skel:skeleton = </head/rig/skeleton>
            def BlendShape "jawOpen"
            {
                uniform vector3f[] offsets = [(0, -0.5, 0)]
                uniform int[] pointIndices = [0]
            }
        }
    }
}
USDA
"$folder/usd/bin/python" - <<'PY'
import os

from pxr import Usd, UsdGeom, UsdSkel, UsdVol

stage = Usd.Stage.Open(os.environ["STAGE"])
gaussians = UsdVol.ParticleField3DGaussianSplat(stage.GetPrimAtPath("/head/gaussians"))
mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/head/rig/face"))
assert UsdSkel.BakeSkinning(UsdSkel.Root(stage.GetPrimAtPath("/head/rig")))
point = mesh.GetPointsAttr().Get(Usd.TimeCode.EarliestTime())[0]
print("OpenUSD", Usd.GetVersion(), "Gaussians at", gaussians.GetPositionsAttr().Get(), "vertex moved to", point)
assert gaussians and tuple(point) == (0, -0.5, 0)
PY
"$folder/blender/bin/python" - <<'PY' >"$folder/output" 2>&1 || { cat "$folder/output"; exit 1; }
import os
import sys

import bpy

bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
bpy.ops.wm.usd_import(filepath=os.environ["STAGE"])
objects = {item.name: item.type for item in bpy.data.objects}
keys = [block.name for block in bpy.data.objects["face"].data.shape_keys.key_blocks]
bones = len(bpy.data.objects["skeleton"].data.bones)
print("bpy", bpy.app.version_string, objects, "shape keys", keys, "bones", bones)
ok = objects == {"face": "MESH", "rig": "EMPTY", "skeleton": "ARMATURE"} and keys == ["Basis", "jawOpen"] and bones == 0
sys.stdout.flush()
os._exit(0 if ok else 1)
PY
cat "$folder/output"
if grep -iq "gaussian\|ParticleField" "$folder/output"; then echo "Blender names the Gaussians now: this has changed"; exit 1; fi
echo "seen: the Gaussians are dropped without a word, the shape key arrives"
