"""Training of a head: data, losses, pose refinement, checkpoints."""
