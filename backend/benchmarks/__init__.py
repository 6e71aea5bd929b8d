"""Benchmarks that need more than one room: a clip, processed and trained, and what is measured on it."""
