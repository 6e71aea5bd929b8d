"""`encoder pretrain|features|evaluate`: the audio-visual encoder's verbs."""
