#!/usr/bin/env bash
# PyAV 18.1.0, whose wheel for Linux holds SVT-AV1 4.1.0: an AV1 encoder that root opens and closes.
# Expected: encoder threads of their own, an ordinary calling thread before and after.
# Seen: with the first frame the calling thread becomes real-time (SCHED_FIFO, priority 99) and stays so after the stream is closed.
# A thread that it starts later, of any library, is real-time as well; where the right is lacking (no root, no CAP_SYS_NICE)
# nothing changes. So a program in a container of root that wrote one AV1 video leaves other processes little of the processor.
# x264 and x265 do not do it. So: read the scheduling before the first frame and set it again after it, for the new threads too.
set -euo pipefail
[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || { echo "needs root on Linux"; exit 0; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.2.6
SVT_LOG=1 "$folder/venv/bin/python" - "$folder" <<'PY'
import os
import sys
import threading

import av
import numpy as np


def scheduling():
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


def written(encoder):
    """Scheduling of a new thread before and after a video, and of the calling thread after it."""
    result = []

    def write():
        result.append(scheduling())
        with av.open(f"{sys.argv[1]}/{encoder}.mp4", "w") as container:
            stream = container.add_stream(encoder, rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for level in range(5):
                image = np.full((240, 320, 3), 40 * level, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            container.mux(stream.encode(None))
        result.append(scheduling())
        later = threading.Thread(target=lambda: result.append(scheduling()))
        later.start()
        later.join()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    return result


for encoder in ("libx264", "libx265", "libsvtav1"):
    before, after, inherited = written(encoder)
    print(f"{encoder}: (policy, priority) before {before}, after {after}, of a later thread {inherited}")
    ordinary, real_time = (os.SCHED_OTHER, 0), (os.SCHED_FIFO, 99)
    assert before == ordinary
    assert {after, inherited} == {real_time if encoder == "libsvtav1" else ordinary}, "it has changed"
print("av", av.__version__)
print("seen: SVT-AV1 leaves the calling thread real-time")
PY
