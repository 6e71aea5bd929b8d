"""What the add-on knows: the backend's process, the jobs, the properties, and what the scene holds of a talking head.

Operators and panels are thin; whatever a script could want is here and is called by both.
"""

EXTENSION_ID = __package__.rpartition(".")[0]
"""The extension's own package, `bl_ext.REPOSITORY.synctalk`: the key of its preferences and of its user folder."""
