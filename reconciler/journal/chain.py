"""The journal: commits in a bare repository on the state volume, one a batch of entries.

Each commit holds `entries.jsonl`, the entries of its batch, and `state.json`, the decisions in force after it, so that
after a loss of Redis one look at the newest commit is enough. A commit names its parent by hash, and each entry carries
its number, so nothing can be changed or left out without it showing.

What is old is compacted: its entries go, its commits stay, so that the chain of hashes reaches back to the first. How far
that went is in `compacted.json` of every later commit, so that entries that went in any other way still show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from reconciler.clock import Clock
from reconciler.errors import JournalBroken

BRANCH = Ref(b"refs/heads/main")
WHO = b"undrift <undrift@localhost>"
ENTRIES, STATE, COMPACTED = b"entries.jsonl", b"state.json", b"compacted.json"
FILE_MODE = 0o100644
_MESSAGE = re.compile(rb"entries (\d+) to (\d+)\n")
MOST_LOOSE = 2000
"""Loose objects before they are packed: reading a folder of more gets slow."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The newest commit whose entries are not kept any more, and the number of its last one."""

    commit: str
    number: int


NOTHING = Compacted("", 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found: how many commits and entries, and the first thing that is wrong, if any."""

    commits: int
    entries: int
    problem: str = ""


class Journal:
    """One journal. One process appends at a time, the scheduler that leads; any number may read."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path, self._clock = path, clock

    @property
    def exists(self) -> bool:
        return (self.path / "objects").is_dir() or self.path.with_name(f"{self.path.name}.before").is_dir()

    def append(self, entries: Sequence[Mapping[str, Any]], state: Any, *, compacted: Compacted | None = None) -> str:
        """Add a batch, and what is in force after it; the new commit's id. Raises JournalBroken for a damaged chain.

        `compacted` says that what is older is not kept from now on (`journal.compact`). Entries whose `id` the newest
        commit holds already are left out: they were written before a crash.
        """
        with closing(self._opened()) as repo:
            head = self._head(repo)
            last = list(self._batch(repo, head)) if head else []
            known, number = {one.get("id") for one in last}, last[-1]["number"] if last else 0
            fresh = [one for one in entries if one.get("id") not in known or one.get("id") is None]
            if head and not fresh:
                return head
            numbered = [{"number": number + index, **one} for index, one in enumerate(fresh, start=1)]
            commit = self._write(repo, head, orjson.dumps(state), numbered, compacted or self.compacted(repo))
            repo.refs[BRANCH] = commit.id
            if sum(1 for _ in repo.object_store._iter_loose_objects()) > MOST_LOOSE:
                repo.object_store.pack_loose_objects()
            return str(commit.id.decode())

    def head(self) -> str | None:
        """The newest commit; None for a journal that was never written."""
        if not self.exists:
            return None
        with closing(self._opened()) as repo:
            return self._head(repo)

    def state(self) -> Any:
        """The decisions in force after the newest commit; None for a journal that was never written."""
        if not self.exists:
            return None
        with closing(self._opened()) as repo:
            head = self._head(repo)
            return self._state(repo, head) if head else None

    def entries(self) -> Iterator[Mapping[str, Any]]:
        """All entries, the newest first. Raises JournalBroken where the chain can't be read on."""
        if not self.exists:
            return
        with closing(self._opened()) as repo:
            until = self.compacted(repo).commit
            for commit in self.commits(repo):
                if commit == until:
                    return
                yield from reversed(list(self._batch(repo, commit)))

    def verify(self, known_head: str | None = None) -> Verdict:
        """Read the whole chain: every object's hash, every number, and that a head known from before is part of it."""
        commits, entries, expected, met = 0, 0, None, known_head is None
        if not self.exists:
            problem = "" if known_head is None else f"the journal is gone; its newest commit was {known_head[:12]}"
            return Verdict(0, 0, problem)
        with closing(self._opened()) as repo:
            try:
                until, is_kept = self.compacted(repo), True
                for commit in self.commits(repo):
                    commits += 1
                    met = met or commit == known_head
                    is_kept = is_kept and commit != until.commit
                    for number in self._numbers(repo, commit, is_kept=is_kept):
                        if expected is not None and number != expected:
                            return Verdict(commits, entries, f"entry {expected} is missing before {number}")
                        entries, expected = entries + is_kept, number - 1
            except JournalBroken as error:
                return Verdict(commits, entries, error.message)
        if expected:
            return Verdict(commits, entries, f"the entries before {expected + 1} are missing")
        if not met:
            return Verdict(
                commits, entries, f"rewritten: commit {str(known_head)[:12]}, known from before, is not in it"
            )
        return Verdict(commits, entries)

    def compacted(self, repo: Repo) -> Compacted:
        """How far back the entries are kept."""
        head = self._head(repo)
        tree = self._tree(repo, head) if head else Tree()
        if COMPACTED not in tree:
            return NOTHING
        return Compacted(**orjson.loads(self._file(repo, str(head), COMPACTED)))

    def has(self, commit: str) -> bool:
        """Whether a commit is in the chain. Quick for a new one and for one that never came here; reads the whole chain for
        one that was cut from it."""
        if not self.exists:
            return False
        with closing(self._opened()) as repo:
            return self._is_stored(repo, commit) and commit in self.commits(repo)

    def commits(self, repo: Repo, newest: str | None = None) -> Iterator[str]:
        """Every commit down from one, the newest first. Raises JournalBroken where the chain can't be read on."""
        commit = newest or self._head(repo)
        while commit is not None:
            yield commit
            parents = self._read(repo, commit, Commit).parents
            commit = parents[0].decode() if parents else None

    def last_number(self, repo: Repo, commit: str) -> int:
        """The number of a commit's last entry, which its message tells."""
        return self._range(repo, commit)[1]

    def _numbers(self, repo: Repo, commit: str, *, is_kept: bool) -> Iterator[int]:
        """The numbers of a commit's entries, the newest first: by the entries themselves where they are kept."""
        if is_kept:
            yield from (int(one["number"]) for one in reversed(list(self._batch(repo, commit))))
        else:
            self._tree(repo, commit)
            first, last = self._range(repo, commit)
            yield from range(last, first - 1, -1)

    def _range(self, repo: Repo, commit: str) -> tuple[int, int]:
        match = _MESSAGE.fullmatch(self._read(repo, commit, Commit).message)
        if match is None:
            raise JournalBroken(f"{self.path}: commit {commit[:12]} does not tell its entries", subject=commit)
        return int(match[1]), int(match[2])

    def _opened(self) -> Repo:
        aside = self.path.with_name(f"{self.path.name}.before")
        if aside.is_dir() and not self.path.exists():
            aside.rename(self.path)  # its writer was killed as it exchanged it for a compacted one
        if not self.exists:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            return Repo.init_bare(str(self.path))
        return Repo(str(self.path))

    def _head(self, repo: Repo) -> str | None:
        return str(repo.refs[BRANCH].decode()) if BRANCH in repo.refs else None

    def _write(
        self, repo: Repo, parent: str | None, state: bytes, entries: Sequence[Mapping[str, Any]], compacted: Compacted
    ) -> Commit:
        files = {ENTRIES: b"".join(orjson.dumps(one) + b"\n" for one in entries), STATE: state}
        if compacted != NOTHING:
            files[COMPACTED] = orjson.dumps(compacted)
        blobs = {name: Blob.from_string(data) for name, data in files.items()}
        tree = Tree()
        for name, blob in blobs.items():
            tree.add(name, FILE_MODE, blob.id)
        commit = Commit()
        commit.tree = tree.id
        commit.parents = [ObjectID(parent.encode())] if parent else []
        commit.author = commit.committer = WHO
        commit.author_time = commit.commit_time = int(self._clock.now().timestamp())
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = f"entries {entries[0]['number']} to {entries[-1]['number']}\n".encode()
        for one in (*blobs.values(), tree, commit):
            repo.object_store.add_object(one)
        return commit

    def _batch(self, repo: Repo, commit: str) -> Iterator[dict[str, Any]]:
        return map(orjson.loads, self._file(repo, commit, ENTRIES).splitlines())

    def _state(self, repo: Repo, commit: str) -> Any:
        return orjson.loads(self._file(repo, commit, STATE))

    def _file(self, repo: Repo, commit: str, name: bytes) -> bytes:
        data: bytes = self._read(repo, self._tree(repo, commit)[name][1].decode(), Blob).data
        return data

    def _tree(self, repo: Repo, commit: str) -> Any:
        return self._read(repo, self._read(repo, commit, Commit).tree.decode(), Tree)

    def _is_stored(self, repo: Repo, oid: str) -> bool:
        """Whether an object is here, in the chain or not. Raises JournalBroken for a damaged one."""
        try:
            return ObjectID(oid.encode()) in repo.object_store
        except Exception as error:  # dulwich raises whatever the damaged bytes lead it to
            raise JournalBroken(f"{self.path}: object {oid[:12]} is damaged", subject=oid) from error

    def _read(self, repo: Repo, oid: str, kind: type[Any]) -> Any:
        """One object, its hash checked. Raises JournalBroken."""
        try:
            found: ShaFile = repo.object_store[ObjectID(oid.encode())]
            data = found.as_raw_string()
        except Exception as error:  # dulwich raises whatever the damaged bytes lead it to
            raise JournalBroken(f"{self.path}: object {oid[:12]} is missing or damaged", subject=oid) from error
        if not isinstance(found, kind) or ShaFile.from_raw_string(found.type_num, data).id.decode() != oid:
            raise JournalBroken(f"{self.path}: object {oid[:12]} is not what its hash says", subject=oid)
        return found
