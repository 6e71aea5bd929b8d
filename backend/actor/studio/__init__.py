"""Stages and renders the actor inside Blender's Python, a process of its own; see `__main__`."""
