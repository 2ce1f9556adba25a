"""What is kept of the trees that were read."""

from __future__ import annotations

from reconciler.ports import TreeEntry
from reconciler.source.tree import Folders


def folder(*names: str) -> dict[str, TreeEntry]:
    return {name: TreeEntry(name, "file", "a" * 40) for name in names}


def kept(folders: Folders, *oids: str) -> list[str]:
    return [oid for oid in oids if folders.get(oid) is not None]


def test_the_newest_folders_are_kept_by_what_they_take_in_memory() -> None:
    """Before, by their entries alone: names of 82,000 bytes took gigabytes."""
    folders = Folders(most_bytes=10_000)

    folders.put("1", folder("x" * 6000))
    folders.put("2", folder("a.yaml", "b.yaml"))
    assert kept(folders, "1", "2") == ["1", "2"]

    folders.put("3", folder("y" * 6000))
    assert kept(folders, "1", "2", "3") == ["2", "3"]


def test_a_folder_larger_than_all_room_is_kept_alone() -> None:
    folders = Folders(most_bytes=10_000)
    folders.put("1", folder("a.yaml"))

    folders.put("2", folder("x" * 20_000))

    assert kept(folders, "1", "2") == ["2"]
