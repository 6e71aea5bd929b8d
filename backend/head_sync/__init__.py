"""Head-Sync Stabilizer (section 3.3 of the paper): landmarks, then a head pose for every frame so steady that the
skull stands still."""
