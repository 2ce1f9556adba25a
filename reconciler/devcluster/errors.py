"""What can go wrong with a dev cluster, by what the caller does about it.

`ClusterNotRunning` and `BadName` are the user's mistake, `BinariesMissing` needs a person to install or
allow something, any other `DevClusterError` is a start that failed, with the last words of the program in question.
"""

from __future__ import annotations

from reconciler.errors import NEVER, UndriftError

__all__ = ["BadName", "BinariesMissing", "ClusterNotRunning", "DevClusterError"]


class DevClusterError(UndriftError):
    """A dev cluster could not be started or stopped."""

    stage = "devcluster"
    retry = NEVER


class BinariesMissing(DevClusterError):
    """A program is nowhere to be had; the message names each way out."""


class ClusterNotRunning(DevClusterError):
    """No dev cluster of this name runs in this home."""


class BadName(DevClusterError):
    """This text can't name a cluster."""
