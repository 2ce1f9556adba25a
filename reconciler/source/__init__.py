"""Brings files from Git: looks refs up, keeps mirrors, and reads commits without a checkout. No git program is needed."""

from reconciler.source.changes import changed_folders, folders_read
from reconciler.source.fleet import is_remote, open_fleet, why_no_folder
from reconciler.source.folder import FolderTree
from reconciler.source.refs import Refs
from reconciler.source.room import SourceRoom
from reconciler.source.tree import GitTree

__all__ = [
    "FolderTree",
    "GitTree",
    "Refs",
    "SourceRoom",
    "changed_folders",
    "folders_read",
    "is_remote",
    "open_fleet",
    "why_no_folder",
]
