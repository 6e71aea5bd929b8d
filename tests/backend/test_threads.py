"""Threads that wait for work sleep."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_WORK = """
import backend
import pathlib, time
import cv2, numpy
image, matrix = numpy.ones((500, 500, 3), numpy.uint8), numpy.ones((300, 300))
for _ in range(20):
    matrix @ matrix
    cv2.GaussianBlur(image, (0, 0), 3)
    time.sleep(0.01)
lines = [line for status in pathlib.Path("/proc/self/task").glob("*/status") for line in status.read_text().splitlines()]
print(sum(int(line.split()[1]) for line in lines if line.startswith("nonvoluntary_ctxt_switches")))
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="Linux counts how often a thread gives its time slice away"
)
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor has no waiting threads")
def test_waiting_threads_of_numpy_and_opencv_do_not_spin(root):
    """One that spins gives its time slice away thousands of times."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS", "OPENCV"))}
    given_away = subprocess.check_output([sys.executable, "-c", _WORK], cwd=root, env=environment, text=True)
    assert int(given_away) < 2000
