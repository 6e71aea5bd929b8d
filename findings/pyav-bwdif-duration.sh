#!/usr/bin/env bash
# PyAV 18.1.0, the filter bwdif (mode=send_frame) on frames of 1/25 s.
# Expected: a frame that comes out of the graph has pts AND duration in the time base that the frame itself names.
# Seen: the filter halves the time base and doubles both; a program that rescales pts alone, and reads `duration` with the
# stream's time base, takes every frame for twice as long, and a clip for one frame longer.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PY'
from fractions import Fraction

import av
import av.filter
import numpy as np

base = Fraction(1, 25)
graph = av.filter.Graph()
source = graph.add_buffer(width=64, height=64, format="yuv420p", time_base=base)
bwdif, sink = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all"), graph.add("buffersink")
source.link_to(bwdif)
bwdif.link_to(sink)
graph.configure()
out = []
for k in [*range(6), None]:
    frame = None
    if k is not None:
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 40 * k, np.uint8), format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base, frame.duration = k, base, 1
    graph.push(frame)
    while True:
        try:
            out.append(graph.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            break
print("PyAV", av.__version__, "in: time base", base, "duration 1; out:", [(str(f.time_base), f.pts, f.duration) for f in out])
assert len(out) == 6
assert {f.time_base for f in out} == {Fraction(1, 50)} and {f.duration for f in out} == {2}
print("seen: duration 2 in ticks of 1/50")
PY
