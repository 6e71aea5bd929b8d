"""Stages and renders the actor inside Blender's Python, a separate process; see `__main__`."""
