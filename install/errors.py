"""What can go wrong while installing, each as one sentence with what to do.

A message is complete: the command line prints it and exits with 1, the add-on shows it in its panel.
"""

from __future__ import annotations


class InstallError(Exception):
    """Base of every error that is the user's business. `kind` is stable and safe to test against."""

    kind = "install"


class PythonError(InstallError):
    """No Python of a version that the packages exist for, or one that cannot make a virtual environment."""

    kind = "python"


class DiskError(InstallError):
    """Too little free space, or a folder that cannot be written to."""

    kind = "disk"


class PathError(InstallError):
    """The folder's path is too long for what the packages add to it, or has letters that one of them cannot open."""

    kind = "path"


class NetworkError(InstallError):
    """The package index, or a download's host, cannot be reached."""

    kind = "network"


class PackageError(InstallError):
    """A package that is not offered for this Python and platform, fails its checksum or fails to install."""

    kind = "package"


class SystemLibraryError(InstallError):
    """A library of the operating system is missing and could not be installed."""

    kind = "system-library"


class BusyError(InstallError):
    """Another process is installing into the same folder."""

    kind = "busy"


class Cancelled(InstallError):
    """The user asked to stop. What is installed so far is kept, and the next run resumes from it."""

    kind = "cancelled"
