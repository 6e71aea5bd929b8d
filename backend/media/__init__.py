"""Media: clips decoded to 25 frames a second and 16 kHz, checked with words a user can act on, and videos written."""
