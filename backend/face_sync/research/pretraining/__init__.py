"""Training of the audio-visual encoder (SyncTalk, section 3.2, Eq. 1 to 3), on talking clips or on generated speech."""
