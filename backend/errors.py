"""Errors a user can act on.

Every error that bad input or a bad machine can cause is a `SyncTalkError`: one sentence that says what is wrong, where
(file, frame, time) and what to do. The command line prints it and exits with 1; the server sends it to Blender as a
JSON-RPC error whose `data.kind` is the class's `kind`. Anything else that is raised is a defect of ours.
"""

from __future__ import annotations


class SyncTalkError(Exception):
    """Base of all errors that are the user's business. `kind` is stable and safe to test against."""

    kind = "error"


class MediaError(SyncTalkError):
    """A video or audio file that cannot be read, is empty, cut off, too short or has no usable track."""

    kind = "media"


class FaceError(SyncTalkError):
    """No face, several faces, or too few frames with a face."""

    kind = "face"


class AudioError(SyncTalkError):
    """No audio track, silence, or audio that cannot be used."""

    kind = "audio"


class CaptureError(SyncTalkError):
    """Face data of another program or another video that cannot be read or used."""

    kind = "capture"


class WorkspaceError(SyncTalkError):
    """A workspace that is missing, of a newer format, damaged, incomplete for the request, or in use."""

    kind = "workspace"


class StorageError(SyncTalkError):
    """The disk is full, or the place cannot be written to."""

    kind = "storage"


class ModelError(SyncTalkError):
    """Weights that are missing, truncated or of the wrong checksum."""

    kind = "model"


class DeviceError(SyncTalkError):
    """A GPU that is not there."""

    kind = "device"


class NetworkError(SyncTalkError):
    """An address that cannot be listened on or sent to."""

    kind = "network"


class ConsentError(SyncTalkError):
    """Training was asked for without the recorded consent of the person shown."""

    kind = "consent"


class ProvenanceError(SyncTalkError):
    """A manifest that cannot be written or read: a certificate that does not suit, a package that is missing."""

    kind = "provenance"


class ProtocolError(SyncTalkError):
    """A request the server does not understand."""

    kind = "protocol"


class UsageError(ProtocolError):
    """Options that do not go together; the command line ends with status 2."""


class Cancelled(SyncTalkError):
    """The user asked to stop. Finished work is kept, and the next run resumes from it."""

    kind = "cancelled"


def storage_error(error: OSError, path: object) -> SyncTalkError:
    """Say an `OSError` met while writing to `path` in one sentence with what to do."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"The disk is full while writing {path}: free some space and run the same command again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(
            f"{path} cannot be written to (read-only): choose another folder or change its permissions."
        )
    return StorageError(f"Writing {path} failed ({error.strerror}): check the disk and run the same command again.")
