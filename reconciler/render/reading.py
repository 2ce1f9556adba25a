"""Remembers what a render reads of a tree: the paths of its closure. Links are followed, never out of it."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.errors import InvalidManifest, PathNotFound, RenderLimit
from reconciler.model.revision import ABSENT, recorded
from reconciler.objects.budget import Budget
from reconciler.ports import SourceTree, TreeEntry

MOST_FILES = 20_000
MOST_FOLDERS = 20_000
MOST_DEEP = 100
MOST_BYTES = 128 * 1024 * 1024
MOST_PATHS = 16 * 1024 * 1024
"""Characters of the paths of all files of a folder, each as it is found and as it lies."""
_LONGEST_PATH = 4096  # as Linux has it
_LONGEST_LINK = 4096  # as Linux has it
_LONGEST_NAME = 255
_MOST_HOPS = 40  # as Linux has it for one path


@dataclass(frozen=True, slots=True)
class File:
    """A file below a folder: the path by which it was found, and the one where it lies once links are followed."""

    path: str
    real: str


class _Count:
    """What a walk of a folder met so far. Raises RenderLimit where it is too much."""

    def __init__(self, path: str) -> None:
        self._path, self._files, self._folders, self._entries, self._characters = path, 0, 0, 0, 0

    def file(self, found: File) -> None:
        self._files += 1
        self._require(self._files <= MOST_FILES, f"holds more than {MOST_FILES} files")
        self._characters += len(found.path) + len(found.real)
        self._require(
            self._characters <= MOST_PATHS, f"holds files with paths of more than {MOST_PATHS // 1024**2} MiB in all"
        )

    def folder(self, depth: int) -> None:
        self._folders += 1
        self._require(self._folders <= MOST_FOLDERS, f"holds more than {MOST_FOLDERS} folders")
        self._require(depth <= MOST_DEEP, f"holds folders more than {MOST_DEEP} deep")

    def listed(self, entries: int) -> None:
        """Of a folder, before the walk goes into the first of them: the lists of all folders above are held as long."""
        self._entries += entries
        most = MOST_FILES + MOST_FOLDERS
        self._require(self._entries <= most, f"holds more than {most} files and folders")

    def _require(self, is_so: bool, otherwise: str) -> None:  # reads as a sentence
        if not is_so:
            raise RenderLimit(f"{self._path or '/'} {otherwise}", subject=self._path)


class Reading:
    """A tree that keeps a list of what was asked of it."""

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._paths: dict[str, str] = {}
        self._links: dict[str, str] = {}
        self._bytes = 0
        self.budget = Budget()
        """For all YAML of the render, what engines give included."""

    @property
    def links(self) -> Mapping[str, str]:
        """The links that were followed, by path: where each leads, from the repository's root."""
        return self._links

    def real(self, path: str) -> str:
        """The path with every link in it followed. Raises InvalidManifest for one that leads out or round, RenderLimit for
        one longer than paths are."""
        hops = 0
        _require_short(path)
        while (link := self._first_link(path)) is not None:
            hops += 1
            if hops > _MOST_HOPS:
                raise InvalidManifest(f"{link}: the symbolic link leads round in a circle", subject=link)
            rest = path[len(link) :].lstrip("/")
            path = posixpath.normpath(join(self._follow(link), rest))
            path = "" if path == "." else path
            _require_short(path)
        return path

    def entry(self, path: str) -> TreeEntry | None:
        """What stands at a path; its object id, or its absence, becomes part of the closure."""
        path = self.real(path)
        found = self._tree.entry(path)
        if found is None:
            self._paths[self._missing(path)] = ABSENT
        elif found.kind != "folder":
            self._paths[path] = recorded(found)
        return found

    def read(self, path: str) -> bytes:
        """A file's content, as part of the closure. Raises PathNotFound, InvalidManifest, RenderLimit."""
        found = self.entry(path)
        if found is None or found.kind == "folder":
            raise PathNotFound(f"no file {path}", subject=path)
        self._refuse_submodule(path, found)
        data = self._tree.read(self.real(path))
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            raise RenderLimit(f"the files to render have more than {MOST_BYTES // 1024**2} MiB", subject=path)
        return data

    def files(self, path: str) -> list[File]:
        """Every file below a folder, sorted. The folder stands in the closure as one tree id.

        Raises PathNotFound, InvalidManifest for a link that leads out of the repository or nowhere and for a submodule,
        RenderLimit for more files or folders, or deeper ones, than anybody renders: a few objects can hold billions.
        """
        real = self.real(path)
        found = self._tree.entry(real)
        if found is None or found.kind != "folder":
            raise PathNotFound(f"no folder {path or '/'}", subject=path)
        self._paths[real] = recorded(found)
        return list(self._walk(path, real, frozenset({real}), _Count(path)))

    def folder(self, path: str) -> dict[str, bytes]:
        """Every file below a folder with its content. Raises what `files` and `read` raise."""
        return {file.path: self.read(file.real) for file in self.files(path)}

    def closure(self) -> dict[str, str]:
        """The paths read so far; what lies below a folder that stands as a whole is left out."""
        folders = {path for path in self._paths if self._is_folder(path)}
        kept = {path: oid for path, oid in sorted(self._paths.items()) if not _is_below(path, folders)}
        return {f"{path}/" if path in folders else path: oid for path, oid in kept.items()}

    def _walk(self, path: str, real: str, above: frozenset[str], count: _Count) -> Iterator[File]:
        count.folder(len(above))
        entries = self._tree.list(real)
        count.listed(len(entries))
        for entry in entries:
            _require_name(entry.name, path)
        for entry in entries:
            below, place, found = join(path, entry.name), join(real, entry.name), entry
            _require_short(below)
            _require_short(place)
            if entry.kind == "link":
                place = self.real(place)
                found = self._target(below, place)
            if found.kind == "folder":
                if place in above:
                    raise InvalidManifest(f"{below}: the symbolic link leads round in a circle", subject=below)
                yield from self._walk(below, place, above | {place}, count)
            else:
                self._refuse_submodule(below, found)
                file = File(below, place)
                count.file(file)
                yield file

    def _target(self, link: str, place: str) -> TreeEntry:
        """What a link in a walked folder leads to. It may lie outside the folder, so it counts by itself."""
        found = self._tree.entry(place)
        if found is None:
            raise InvalidManifest(
                f"{link} is a symbolic link to {place}, which does not exist in the repository", subject=link
            )
        self._paths[place] = recorded(found)
        return found

    def _first_link(self, path: str) -> str | None:
        """The shortest leading part of a path that is a link."""
        found = self._tree.entry(path)
        if found is not None and found.kind != "link":
            return None  # nothing is found through a link
        parts = path.split("/")
        leading = "/".join(parts[: self._count_there(parts)])
        found = self._tree.entry(leading)
        if found is None or found.kind != "link":
            return None
        self._paths[leading] = recorded(found)
        return leading

    def _missing(self, path: str) -> str:
        """The shortest leading part of a path that is not there: whatever comes to stand there may hold the rest."""
        parts = path.split("/")
        return "/".join(parts[: self._count_there(parts) + 1])

    def _count_there(self, parts: Sequence[str]) -> int:
        """How many leading parts of a path are there. Below one that is missing, a file or a link there is nothing, so half
        of them are ruled out at each look; one look for each takes half a second for a path of 2,000 folders."""
        counts = range(1, len(parts) + 1)
        return bisect_left(counts, True, key=lambda count: self._tree.entry("/".join(parts[:count])) is None)

    def _follow(self, link: str) -> str:
        text = self._tree.read(link).decode(errors="replace")
        if len(text) > _LONGEST_LINK:
            raise InvalidManifest(f"{link} is a symbolic link to a path of {len(text)} characters", subject=link)
        target = posixpath.normpath(posixpath.join(posixpath.dirname(link), text))
        if leads_out(target):
            raise InvalidManifest(
                f"{link} is a symbolic link to {text}, which leads out of the repository; put the file itself there",
                subject=link,
            )
        self._links[link] = "" if target == "." else target
        return self._links[link]

    def _refuse_submodule(self, path: str, entry: TreeEntry) -> None:
        if entry.kind == "submodule":
            raise InvalidManifest(
                f"{path} is a Git submodule, and submodules are not fetched; put the files themselves there",
                subject=path,
            )

    def _is_folder(self, path: str) -> bool:
        found = self._tree.entry(path)
        return found is not None and found.kind == "folder"


def _require_name(name: str, folder: str) -> None:
    """Git takes any bytes; disks, JSON and messages do not."""
    data = name.encode(errors="surrogateescape")
    try:
        is_name = len(data) <= _LONGEST_NAME and bool(data.decode())
    except UnicodeDecodeError:
        is_name = False
    if not is_name:
        shown = data[:60].decode(errors="backslashreplace")
        what = f"no UTF-8 text of at most {_LONGEST_NAME} bytes"
        raise InvalidManifest(f"{folder or '/'}: the name {shown!r} is {what}; give that file another", subject=folder)


def _require_short(path: str) -> None:
    size = len(path.encode(errors="surrogatepass"))
    if size > _LONGEST_PATH:
        shown = path[:80].encode(errors="backslashreplace").decode()
        raise RenderLimit(
            f"{shown}…: the path has {size} bytes, more than {_LONGEST_PATH}; give its folders shorter names",
            subject=shown,
        )


def join(folder: str, name: str) -> str:
    """A path below a folder; the root is the empty path."""
    return f"{folder}/{name}" if folder and name else folder or name


def leads_out(path: str) -> bool:
    """Whether a normalised path is not below the root."""
    return path == ".." or path.startswith(("../", "/"))


def _is_below(path: str, folders: set[str]) -> bool:
    above = path
    while above:
        above = posixpath.dirname(above)
        if above in folders:
            return True
    return False
