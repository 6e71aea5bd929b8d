#!/usr/bin/env bash
# @playcanvas/splat-transform 2.7.1 (the converter of SuperSplat), a 3DGS PLY to glTF. PLY states no axes.
# Expected: positions go through as they are, or by one of the usual turns.
# Seen: y is taken to point down, and the whole is turned by half a turn about z: (x, y, z) becomes (-x, -y, z), quaternions likewise.
# So: a head whose PLY is in the axes of an OpenCV camera (y down, face towards -z) comes out upright, and faces -z: the back of
# it is towards the front of glTF, +z. A head that is exported as glTF itself is turned about x instead.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" @playcanvas/splat-transform@2.7.1 >/dev/null
export FOLDER="$folder"
python3 - <<'PY'
import os
import struct

names = "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
rows = [(1, 2, 3, 0, 0, 0, 1, 0, -1, 2, -4, -5, -6, 1, 0, 0, 0), (4, 5, 6, 0, 0, 0, 0, 0, 0, 2, -4, -5, -6, 0.6, 0.8, 0, 0)]
header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *(f"property float {name}" for name in names), "end_header"]
with open(os.environ["FOLDER"] + "/in.ply", "wb") as file:
    file.write("\n".join(header).encode() + b"\n" + b"".join(struct.pack("<17f", *row) for row in rows))
PY
node "$folder/node_modules/@playcanvas/splat-transform/bin/cli.mjs" -q -w "$folder/in.ply" "$folder/out.glb"
python3 - <<'PY'
import json
import os
import struct

content = open(os.environ["FOLDER"] + "/out.glb", "rb").read()
size = struct.unpack_from("<I", content, 12)[0]
tree, binary = json.loads(content[20 : 20 + size]), content[28 + size :]


def values(name, width):
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"][name]]
    view = tree["bufferViews"][accessor["bufferView"]]
    numbers = struct.unpack_from(f"<{2 * width}f", binary, view.get("byteOffset", 0) + accessor.get("byteOffset", 0))
    return [tuple(round(number, 4) for number in numbers[index * width :][:width]) for index in range(2)]


positions, rotations = values("POSITION", 3), values("KHR_gaussian_splatting:ROTATION", 4)
node = tree["nodes"][0]
print(tree["asset"]["generator"], "positions", positions, "rotations x y z w", rotations)
assert not {"matrix", "rotation", "scale"} & set(node), "the turn is in the node now"
assert positions == [(-1.0, -2.0, 3.0), (-4.0, -5.0, 6.0)]
assert [tuple(map(abs, row)) for row in rotations] == [(0.0, 0.0, 1.0, 0.0), (0.0, 0.8, 0.6, 0.0)]
print("seen: y down is taken for granted, half a turn about z")
PY
