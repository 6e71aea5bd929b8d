#!/usr/bin/env bash
# av 18.1.0 (FFmpeg 8, libswscale 9.5): white that passes through a conversion of depth or to RGB.
# Expected: white stays white. Limited 8-bit luma 235 is 65535 in 16-bit RGB; full-range 255 is 1023 in 10 bits, whatever the
# subsampling of chroma.
# Seen: 235 becomes 65283 of 65535 in rgb48 and gbrp16, though 255 in rgb24. Full-range 255 becomes 1023 where the subsampling
# stays (4:2:0 to 4:2:0), but 1020 where it changes (4:2:0 to 4:2:2): scaled there, shifted here. Black is 0 in all of them.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==1.26.4
"$folder/venv/bin/python" - <<'PY'
import sys

import av
import numpy as np
from av.video.reformatter import Colorspace, ColorRange, Interpolation, VideoReformatter

EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def converted(luma, source, target, source_range, target_range):
    """The first value of a grey frame of 64 x 64 in another format."""
    frame = av.VideoFrame(64, 64, source)
    for index, plane in enumerate(frame.planes):
        plane.update(bytes([128 if index else luma]) * plane.buffer_size)
    found = VideoReformatter().reformat(
        frame,
        format=target,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=source_range,
        dst_color_range=target_range,
        interpolation=EXACT,
    )
    kind = np.uint8 if target == "rgb24" else "<u2"
    return int(np.frombuffer(bytes(found.planes[0]), kind)[0])


limited, full = ColorRange.MPEG, ColorRange.JPEG
rgb = {t: [converted(y, "yuv444p", t, limited, full) for y in (16, 235)] for t in ("rgb24", "rgb48le", "gbrp16le")}
depth = {t: [converted(y, "yuv420p", t, full, full) for y in (0, 255)] for t in ("yuv420p10le", "yuv422p10le")}
print("av", av.__version__, "swscale", av.library_versions["libswscale"], rgb, depth)
ok = rgb == {"rgb24": [0, 255], "rgb48le": [0, 65283], "gbrp16le": [0, 65283]}
ok = ok and depth == {"yuv420p10le": [0, 1023], "yuv422p10le": [0, 1020]}
print("seen as described" if ok else "this has changed")
sys.exit(0 if ok else 1)
PY
