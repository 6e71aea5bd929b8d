"""What is before the face: found in the clip, and stored."""
