"""Face data in and out: other programs' files, another person's video, live senders; the stream."""
