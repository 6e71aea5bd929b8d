"""Evaluation: the paper's metrics on held-out frames, and the report of a job."""
