"""Face-Sync Controller (SyncTalk, section 3.2): 52 blendshapes of the footage, and the mouth's blendshapes from audio.

Four parts: a face mesh with shape keys (`blendshape_basis`, `face_mesh`), the capture of 52 coefficients per frame
(`blendshapes`), audio to mouth (`audio_features`, `speech`, `audio_offset`), and the two entry points: the stage
`face_sync` (`stage.run`) and speaking new audio (`speak.speak`). See docs/face-sync.md.
"""
