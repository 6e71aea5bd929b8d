"""Environments, weights, the extension's zip, the demo and the tests: `python3 install VERB`.

Standard library only, and no `bpy` here: the folder runs by itself as `python3 install`, and the add-on imports it as a
sub-package (`from .install import backend_environment`) from the Python of its Blender.
"""
