"""The SyncTalk backend: everything that needs PyTorch, in a process of its own. Nothing below this folder imports bpy."""

__version__ = "0.1.0"
