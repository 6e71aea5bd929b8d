"""The live head leaves: as WebRTC with audio in sync, to a virtual camera, and as a rig over VMC (docs/stream.md)."""
