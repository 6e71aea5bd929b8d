"""The backend as Blender sees it: a child process that answers requests. No `bpy` in here but in `shared`."""
