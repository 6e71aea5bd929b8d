"""Media: clips decoded to frames at their own rate and audio at 16 kHz, checked with words a user can act on, and videos written."""
