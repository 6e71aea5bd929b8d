"""A camera that moves: whether it does, how, and the mosaic of the background behind its frames."""
