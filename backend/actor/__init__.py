"""A synthetic speaker with known truth: a generated head that speaks a text, rendered by Blender.

Geometry, expression and motion are made with NumPy; only `studio` imports `bpy`, in a separate process of the Blender
environment. Everything is built in the *face frame*: millimetres, origin midway between the pupils, x to the subject's
left (image right), y up, z out of the face. `frames.py` converts it to the head frame of the truth.
"""

from pathlib import Path

SAMPLE = Path(__file__).with_name("sample")
"""Folder of the embedded speaker: clip, audio and truth."""
