"""What the tracking measured, in images and curves."""
