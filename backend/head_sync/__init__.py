"""Head-Sync Stabilizer (section 3.3 of the paper): landmarks, then a stable head pose for every frame."""
