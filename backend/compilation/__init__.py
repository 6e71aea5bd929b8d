"""Functions compiled by Numba, kept on disk."""
