"""A mirror over hundreds of fetches: it stays quick to open, and keeps what it has."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from dulwich.repo import Repo as DulwichRepo

from reconciler.model.spec import Ref
from reconciler.source import SourceRoom
from reconciler.source.join import LEFT_ALONE
from reconciler.source.mirror import MOST_PACKS, MOST_SEEN
from reconciler.testing.git import GitServer, Repo
from tests.integration.source.test_room import access, read
from tests.integration.source.test_room import room as room

FETCHES = 120
# A long text that changes a little: what is sent of it is cut against the text that is here already.
TEXT = "\n".join(f"line {number}" for number in range(2000))


def mirror_of(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "mirrors").glob("*.git")
    return found


def counted(mirror: Path) -> tuple[int, int]:
    """Packs, and refs."""
    refs = [one for one in (mirror / "refs").rglob("*") if one.is_file()]
    return len(list(mirror.glob("objects/pack/*.pack"))), len(refs)


def test_hundreds_of_fetches_leave_no_pile_of_packs_or_refs(
    room: SourceRoom, git_server: GitServer, git_repo: Repo, tmp_path: Path
) -> None:
    """Before, each left a ref for ever, and packs were joined by inflating all of the mirror in memory."""
    found, commits, most = access(git_server.url("apps.git")), [], (0, 0)
    for number in range(FETCHES):
        commits.append(git_repo.commit({"a.txt": f"{number}\n{TEXT}", f"{number % 10}/b.yaml": str(number)}))
        room.fetch(found, commits[-1:])
        most = max(most[0], counted(mirror_of(tmp_path))[0]), max(most[1], counted(mirror_of(tmp_path))[1])

    assert most == (MOST_PACKS, MOST_SEEN)
    for number, commit in enumerate(commits):
        assert read(room, found, "a.txt", ref=Ref(commit=commit)) == f"{number}\n{TEXT}".encode()
    assert not [one.name for one in mirror_of(tmp_path).glob("objects/pack/*") if not one.name.startswith("pack-")]


def test_what_was_forgotten_is_fetched_again(
    room: SourceRoom, git_server: GitServer, git_repo: Repo, tmp_path: Path
) -> None:
    found = access(git_server.url("apps.git"))
    first = git_repo.commit({"a.yaml": "one"})
    git_repo.commit({"a.yaml": "two"})
    assert read(room, found, "a.yaml") == b"two"

    shutil.rmtree(mirror_of(tmp_path))

    assert read(room, found, "a.yaml", ref=Ref(commit=first)) == b"one"


@pytest.mark.parametrize("is_open", [True, False], ids=["open before", "opened after"])
def test_a_mirror_whose_packs_were_joined_reads_as_before(
    room: SourceRoom, git_server: GitServer, git_repo: Repo, tmp_path: Path, *, is_open: bool
) -> None:
    found = access(git_server.url("apps.git"))
    commits = []
    for number in range(MOST_PACKS):
        commits.append(git_repo.commit({"a.txt": f"{number}\n{TEXT}"}))
        room.fetch(found, commits[-1:])
    with closing(DulwichRepo(str(mirror_of(tmp_path)))) as reader:
        if is_open:
            assert commits[0].encode() in reader.object_store
        room.fetch(found, [git_repo.commit({"a.txt": "the one that joins them"})])

        assert counted(mirror_of(tmp_path))[0] == LEFT_ALONE + 1
        assert all(reader[commit.encode()].id == commit.encode() for commit in commits)
        objects = set(reader.object_store)
        assert all(reader.object_store[one].id == one for one in objects)


def test_what_a_killed_fetch_left_goes_with_the_next_one(
    room: SourceRoom, git_server: GitServer, git_repo: Repo, tmp_path: Path
) -> None:
    """Killed between a pack and its index, or as the parts of a joined one went: a half would stop every later join."""
    found = access(git_server.url("apps.git"))
    room.fetch(found, [git_repo.commit({"a.yaml": "one"})])
    folder = mirror_of(tmp_path) / "objects" / "pack"
    left = [folder / name for name in (f"pack-{'1' * 40}.pack", f"pack-{'2' * 40}.idx", "tmp123.pack", "x.tmp")]
    for one in left:
        one.write_bytes(b"half")

    room.fetch(found, [git_repo.commit({"a.yaml": "two"})])

    assert not [one for one in left if one.exists()]
    assert read(room, found, "a.yaml") == b"two"
