"""Repositories that Git itself would never have made, and a Git host behind a certificate of one's own."""

from __future__ import annotations

import hashlib
import stat
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref as GitRef
from dulwich.repo import Repo as DulwichRepo

from reconciler.errors import GitUnreachable, PathNotFound, SourceTooLarge
from reconciler.model.spec import CredentialRef, Ref, RepositoryCredentials
from reconciler.source import GitTree, SourceRoom
from reconciler.testing.git import GitServer, Repo
from tests.fixtures import bombs
from tests.fixtures.certificates import make_certificates
from tests.integration.source.test_room import access, read
from tests.integration.source.test_room import room as room

FILE, FOLDER, LINK = 0o100644, 0o040000, 0o120000
Make = Callable[[list[tuple[bytes, int, bytes]]], None]


@pytest.fixture
def commit(git_repo: Repo) -> Make:
    """Commits a root folder of raw entries (name, mode, object id), as a hostile client may push it."""

    def make(entries: list[tuple[bytes, int, bytes]]) -> None:
        with closing(DulwichRepo(str(git_repo.path))) as repo:
            tree, made = Tree(), Commit()
            for name, mode, oid in entries:
                tree.add(name, mode, ObjectID(oid))
            made.tree, made.message = tree.id, b"hostile\n"
            made.author = made.committer = b"mallory <m@example.com>"
            made.author_time = made.commit_time = made.author_timezone = made.commit_timezone = 0
            for one in (tree, made):
                repo.object_store.add_object(one)
            repo.refs[GitRef(b"refs/heads/main")] = made.id

    return make


def stored(git_repo: Repo, one: Blob | Tree) -> bytes:
    with closing(DulwichRepo(str(git_repo.path))) as repo:
        repo.object_store.add_object(one)
    return one.id


@pytest.mark.parametrize("name", [b"..", b".", b".git", b"a/b", b"../../escaped.yaml"])
def test_names_that_lead_elsewhere_are_not_there(room: SourceRoom, git_repo: Repo, commit: Make, name: bytes) -> None:
    text = stored(git_repo, Blob.from_string(b"kind: Evil\n"))
    inner = Tree()
    inner.add(b"evil.yaml", FILE, ObjectID(text))
    commit([(name, FOLDER, stored(git_repo, inner)), (b"good.yaml", FILE, text)])

    found = access(git_repo.url)
    with room.tree(found, room.resolve(found, Ref(branch="main")).commit) as tree:
        assert [entry.name for entry in tree.list("")] == ["good.yaml"]
        assert tree.entry(name.decode()) is None


@pytest.mark.parametrize("mode", [FILE, FOLDER, LINK])
def test_an_entry_that_lies_about_its_kind_is_an_error_that_names_it(
    room: SourceRoom, git_repo: Repo, commit: Make, mode: int
) -> None:
    other = Blob.from_string(b"x") if stat.S_ISDIR(mode) else Tree()
    commit([(b"liar", mode, stored(git_repo, other))])

    with pytest.raises(PathNotFound, match=r"is no (blob|tree)"):
        read(room, access(git_repo.url), "liar/a.yaml" if stat.S_ISDIR(mode) else "liar")


@pytest.mark.parametrize("kind", [b"tree", b"commit"])
def test_an_object_that_is_malformed_is_an_error_that_names_it(git_repo: Repo, commit: Make, kind: bytes) -> None:
    """No client of Git checks that when it fetches. Before, it was a mistake of Undrift itself."""
    data = kind + b" 14\x00no tree at all"
    oid = hashlib.sha1(data).hexdigest()
    place = git_repo.path / "objects" / oid[:2] / oid[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(zlib.compress(data))
    commit([(b"evil", FOLDER, oid.encode())])

    with closing(DulwichRepo(str(git_repo.path))) as repo, pytest.raises(PathNotFound, match="malformed"):
        GitTree(repo.object_store, oid if kind == b"commit" else repo.head().decode(), where="there").list("evil")


def test_a_folder_of_too_many_entries_is_a_limit() -> None:
    """One takes thirty times its bytes in memory."""
    with pytest.raises(SourceTooLarge, match="too many entries"):
        bombs.wide(300_000).list("")


def test_a_host_with_a_certificate_of_ones_own_is_reached_by_its_authority(
    tmp_path: Path, room: SourceRoom, git_repo: Repo
) -> None:
    git_repo.commit({"a.yaml": "one"})
    made = make_certificates(tmp_path / "certificates")
    credentials = RepositoryCredentials(ca=CredentialRef(file="certificates/ca.pem"))
    with GitServer(git_repo.path.parent, tls=made.server) as server:
        url = server.url(git_repo.path.name)
        assert url.startswith("https://")
        assert read(room, access(url, credentials=credentials), "a.yaml") == b"one"
        with pytest.raises(GitUnreachable, match=r"certificate verify failed"):
            room.refs(access(url))


def test_a_repack_under_us_loses_nothing(room: SourceRoom, git_repo: Repo) -> None:
    found = access(git_repo.url)
    for number in range(5):
        git_repo.commit({f"{number}.yaml": str(number)})
        assert read(room, found, f"{number}.yaml") == str(number).encode()
        with closing(DulwichRepo(str(git_repo.path))) as repo:
            repo.object_store.pack_loose_objects()
            repo.object_store.repack()

    git_repo.commit({"last.yaml": "last"})
    assert read(room, found, "last.yaml") == b"last"
    assert read(room, found, "0.yaml") == b"0"
