"""The steps as jobs, one file a step: each asks the backend and puts what it made into the scene.

Buttons `jobs.start` them, background mode and scripts `jobs.run` them.
"""
