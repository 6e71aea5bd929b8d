"""What the add-on knows: the backend's process, the jobs, the properties, and what the scene holds of a talking head.

Operators and panels are thin; what a script could need is here, and both call it.
"""

EXTENSION_ID = __package__.rpartition(".")[0]
"""The extension's own package, `bl_ext.REPOSITORY.synctalk`: the key of its preferences and of its user folder."""
