"""A synthetic speaker with known truth: a head of our own that speaks a text, rendered by Blender.

Geometry, expression and motion are made here with NumPy; `studio.py` is the only file that imports `bpy`, and it runs
in a process of its own in the Blender environment. Everything is built in the *face frame*: millimetres, origin midway
between the pupils, x to the subject's left (image right), y up, z out of the face. `frames.py` turns that into the
head frame of the truth.
"""

from pathlib import Path

SAMPLE = Path(__file__).with_name("sample")
"""Folder of the embedded speaker: clip, sound and truth."""
