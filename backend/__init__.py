"""The SyncTalk backend: all that needs PyTorch, in a separate process. Nothing below this folder imports bpy."""

import os

__version__ = "0.1.0"

# Worker threads that wait must sleep, not spin: Blender runs beside us, and on a small machine two programs that spin
# slow each other down many times over. Read by OpenMP when PyTorch is first imported, by OpenBLAS when NumPy and SciPy are, and by
# OpenCV: the last two give their time slice away again and again, up to ten thousand times a call.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 cycles, the fewest; else 2^26
os.environ.setdefault("OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER", "0")
os.environ.setdefault("OPENCV_THREAD_POOL_ACTIVE_WAIT_MAIN", "0")
