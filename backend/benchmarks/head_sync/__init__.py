"""Benchmark of Head-Sync against known truth and against MediaPipe."""
