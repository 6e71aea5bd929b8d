#!/usr/bin/env bash
# gltf-validator 2.0.0-dev.3.10 (Khronos), a GLB with KHR_gaussian_splatting after the text of its release candidate.
# Expected: an extension that the validator does not know is reported as such, and no more.
# Seen: each of the attributes that the extension itself names (KHR_gaussian_splatting:ROTATION and so on) is an ERROR,
# MESH_PRIMITIVE_INVALID_ATTRIBUTE, as are all names that glTF 2.0 does not list and that do not begin with an underscore.
# So: these errors, one for each such attribute, are the validator's; everything else that it reports counts.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" gltf-validator@2.0.0-dev.3.10 >/dev/null
cd "$folder"
node - <<'JS'
const validator = require("gltf-validator");
const widths = { POSITION: 3, "KHR_gaussian_splatting:ROTATION": 4, "KHR_gaussian_splatting:SCALE": 3, "KHR_gaussian_splatting:OPACITY": 1,
  "KHR_gaussian_splatting:SH_DEGREE_0_COEF_0": 3 };
const tree = { asset: { version: "2.0" }, extensionsUsed: ["KHR_gaussian_splatting"], scenes: [{ nodes: [0] }], scene: 0, nodes: [{ mesh: 0 }],
  accessors: [], bufferViews: [], buffers: [] };
const numbers = [];
const attributes = {};
for (const [name, width] of Object.entries(widths)) {
  const values = name.endsWith("ROTATION") ? [0, 0, 0, 1] : Array(width).fill(0.5);
  tree.bufferViews.push({ buffer: 0, byteOffset: numbers.length * 4, byteLength: width * 4, target: 34962 });
  const bounds = name === "POSITION" ? { min: values, max: values } : {};
  tree.accessors.push({ bufferView: tree.accessors.length, componentType: 5126, count: 1, type: width === 1 ? "SCALAR" : `VEC${width}`, ...bounds });
  attributes[name] = tree.accessors.length - 1;
  numbers.push(...values);
}
const content = Buffer.from(new Float32Array(numbers).buffer);
tree.buffers = [{ byteLength: content.length, uri: "data:application/octet-stream;base64," + content.toString("base64") }];
const kernel = { kernel: "ellipse", colorSpace: "srgb_rec709_display" };
tree.meshes = [{ primitives: [{ mode: 0, attributes, extensions: { KHR_gaussian_splatting: kernel } }] }];
validator.validateString(JSON.stringify(tree)).then((report) => {
  const errors = report.issues.messages.filter((message) => message.severity === 0);
  const others = report.issues.messages.filter((message) => message.severity !== 0).map((message) => message.code);
  console.log("gltf-validator", report.validatorVersion, "errors", errors.map((error) => [error.code, error.pointer]), "others", others);
  const ok = errors.length === 4 && errors.every((error) => error.code === "MESH_PRIMITIVE_INVALID_ATTRIBUTE" && error.pointer.includes("KHR_"))
    && String(others) === "UNSUPPORTED_EXTENSION";
  console.log(ok ? "seen: the extension's own names are errors" : "this has changed");
  process.exit(ok ? 0 : 1);
});
JS
