"""Training of a head: data, losses, pose refinement by the picture, checkpoints."""
