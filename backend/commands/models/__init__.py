"""`models list|fetch|path`: the weights' verbs, for `python -m backend` and `python3 install` alike."""
