"""Many jobs of the backend's own commands, in processes on this machine or on many by Ray; docs/batch.md.

It stands above the commands, as the command line does, and knows no stage: a job is the words of a command line.
"""
