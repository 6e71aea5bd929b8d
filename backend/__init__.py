"""The SyncTalk backend: all that needs PyTorch, in a separate process. Nothing below this folder imports bpy."""

import os

__version__ = "0.1.0"

# Worker threads that wait must sleep, not spin: Blender runs beside us, and on a small machine two programs that spin
# slow each other down many times over. Read by OpenMP when PyTorch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")
