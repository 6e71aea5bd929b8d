"""That Triton's kernels compile for GPUs that are not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

SHARED_KB = {75: 64, 86: 99, 90: 227}
"""What each generation of GPUs gives a program, by compute capability."""


def assert_compiles(which: str, capability: int, kernels: int, folder: Path, *more: str) -> None:
    """All kernels of the field or the Gaussians, each within its shared memory and without a warning."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder)}
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, str(Path(__file__).with_name("compile_triton.py")), which, str(capability), *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    made = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(made) == kernels
    limit = SHARED_KB[capability] * 1024
    assert all(kernel["code"] > 1000 and kernel["shared"] <= limit for kernel in made), made
    assert not done.stderr  # no warning either
