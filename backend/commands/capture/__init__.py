"""Verbs of face data: other programs' files, another person's video, live senders."""
