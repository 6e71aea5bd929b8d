"""The face, its motion and the camera in files of other programs, by Blender's own exporters (docs/export.md)."""
