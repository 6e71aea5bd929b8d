"""A face that comes while it moves: OSC and Live Link over UDP, a webcam, a microphone. The newest value wins."""
