"""A bare repository on disk, and commits written straight into it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from dulwich.index import commit_tree
from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo as DulwichRepo

AUTHOR = b"A Developer <dev@example.com>"


class Repo:
    """A bare repository on disk, written commit by commit. Its last commit may be replaced, as a force-push does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "objects").is_dir():
            path.mkdir(parents=True, exist_ok=True)
            DulwichRepo.init_bare(str(path)).close()
            (path / "HEAD").write_text("ref: refs/heads/main\n")

    @property
    def url(self) -> str:
        """Its `file://` URL."""
        return f"file://{self.path}"

    def commit(
        self,
        changes: Mapping[str, str | bytes | None],
        message: str = "change",
        *,
        branch: str = "main",
        parent: str | None = None,
        links: Mapping[str, str] | None = None,
    ) -> str:
        """Write files (None removes one) on top of a branch, or of another `parent`; the new commit's id."""
        with closing(DulwichRepo(str(self.path))) as repo:
            before = parent or self.head(branch)
            files = _files_at(repo, before)
            for path, content in changes.items():
                _put(repo, files, path, content)
            for path, target in (links or {}).items():
                _put(repo, files, path, target, mode=0o120000)
            return self._write(repo, files, [before] if before else [], message, branch)

    def commit_folder(self, folder: Path, message: str = "import", *, branch: str = "main") -> str:
        """Make a branch's files those of a folder on disk."""
        found = {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
        with closing(DulwichRepo(str(self.path))) as repo:
            gone = {path.decode(): None for path in _files_at(repo, self.head(branch))}
        return self.commit({**gone, **found}, message, branch=branch)

    def revert(self, branch: str = "main") -> str:
        """Undo a branch's last commit by a new one, as `git revert HEAD` does; the new commit's id."""
        with closing(DulwichRepo(str(self.path))) as repo:
            last = self.head(branch)
            commit = repo[ObjectID((last or "").encode())]
            assert isinstance(commit, Commit)
            assert commit.parents, "a first commit can't be reverted"
            files = _files_at(repo, commit.parents[0].decode())
            message = f'Revert "{commit.message.decode().strip()}"'
            return self._write(repo, files, [last or ""], message, branch)

    def head(self, branch: str = "main") -> str | None:
        """The commit that a branch points at."""
        with closing(DulwichRepo(str(self.path))) as repo:
            name = Ref(b"refs/heads/" + branch.encode())
            return repo.refs[name].decode() if name in repo.refs else None

    def tag(self, name: str, commit: str, *, annotated: bool = False) -> None:
        """Point a tag at a commit."""
        from dulwich.porcelain import tag_create

        with closing(DulwichRepo(str(self.path))) as repo:
            if annotated:
                tag_create(repo, name.encode(), AUTHOR, b"a release", annotated=True, objectish=commit.encode())
            else:
                repo.refs[Ref(b"refs/tags/" + name.encode())] = ObjectID(commit.encode())

    def reset(self, commit: str, branch: str = "main") -> None:
        """Point a branch at any commit: a force-push, seen from the server."""
        with closing(DulwichRepo(str(self.path))) as repo:
            repo.refs[Ref(b"refs/heads/" + branch.encode())] = ObjectID(commit.encode())

    def _write(
        self, repo: DulwichRepo, files: dict[bytes, tuple[int, bytes]], parents: list[str], message: str, branch: str
    ) -> str:
        blobs = [(path, ObjectID(oid), mode) for path, (mode, oid) in files.items()]
        made = Commit()
        made.tree = commit_tree(repo.object_store, blobs)
        made.parents = [ObjectID(one.encode()) for one in parents if one]
        made.author = made.committer = AUTHOR
        made.author_time = made.commit_time = int(time.time())
        made.author_timezone = made.commit_timezone = 0
        made.encoding = b"UTF-8"
        made.message = message.encode() + b"\n"
        repo.object_store.add_object(made)
        repo.refs[Ref(b"refs/heads/" + branch.encode())] = made.id
        return made.id.decode()


def _files_at(repo: DulwichRepo, commit: str | None) -> dict[bytes, tuple[int, bytes]]:
    if commit is None:
        return {}
    found = repo[ObjectID(commit.encode())]
    assert isinstance(found, Commit)
    entries = iter_tree_contents(repo.object_store, found.tree)
    return {bytes(entry.path or b""): (int(entry.mode or 0), bytes(entry.sha or b"")) for entry in entries}


def _put(
    repo: DulwichRepo,
    files: dict[bytes, tuple[int, bytes]],
    path: str,
    content: str | bytes | None,
    *,
    mode: int = 0o100644,
) -> None:
    if content is None:
        files.pop(path.encode(), None)
        return
    blob = Blob.from_string(content.encode() if isinstance(content, str) else content)
    repo.object_store.add_object(blob)
    files[path.encode()] = (mode, blob.id)
