"""Face-Sync Controller (SyncTalk, section 3.2): 52 blendshapes of the footage, and from sound to the mouth's.

The room has four parts: a face mesh with shape keys (`blendshape_basis`, `face_mesh`), the capture of 52 coefficients
a frame (`blendshapes`), the way from sound to mouth (`audio_features`, `speech`, `audio_offset`), and the two entries
that use them: the stage `face_sync` (`stage.run`) and speaking a new sound (`speak.speak`). See docs/face-sync.md.
"""
