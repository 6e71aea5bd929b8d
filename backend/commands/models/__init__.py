"""`models list|fetch|path`: the weights' verbs, for both `python -m backend` and `python3 install`."""
