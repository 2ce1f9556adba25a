"""Plain folders: every YAML and JSON file that the globs let in is a manifest."""

from __future__ import annotations

import posixpath
import re
from functools import cache

from reconciler.errors import InvalidManifest, RenderLimit
from reconciler.model.manifest import Manifest
from reconciler.model.revision import Checkout
from reconciler.model.spec import DirectoryOptions
from reconciler.render import documents
from reconciler.render.reading import Reading

SUFFIXES = (".yaml", ".yml", ".json")
MOST_STEPS = 50_000_000
"""Of all globs over all files of a render: 3 to 13 s (2026-11-28). Ten globs with two stars each over 20,000 paths of 100
characters take 40 million at most."""
_INPUTS = {
    "Chart.yaml": "a Helm chart",
    "kustomization.yaml": "a kustomization",
    "kustomization.yml": "a kustomization",
}


def render(checkout: Checkout, options: DirectoryOptions, reading: Reading) -> list[Manifest]:
    """The manifests of a folder, files in path order. The whole folder is the closure, as a new file would count."""
    found: list[Manifest] = []
    globs = Globs(options)
    for file in reading.files(checkout.path):
        inside = file.path[len(checkout.path) :].lstrip("/")
        if inside.endswith(SUFFIXES) and globs.let_in(inside):
            _refuse_inputs(file.path)
            found += documents.parse(reading.read(file.real), file.path, reading.budget)
    return found


class Globs:
    """The options of one render. Its globs' steps are counted, not timed: the same files are refused on every machine."""

    def __init__(self, options: DirectoryOptions) -> None:
        self._options, self._steps = options, MOST_STEPS

    def let_in(self, path: str) -> bool:
        """Whether a file counts: below the folder itself unless `recurse`, in some `include`, in no `exclude`.

        Raises RenderLimit when all files so far were too much.
        """
        options = self._options
        if not options.recurse and "/" in path:
            return False
        if options.include and not any(self._is_like(path, pattern) for pattern in options.include):
            return False
        return not any(self._is_like(path, pattern) for pattern in options.exclude)

    def _is_like(self, path: str, pattern: str) -> bool:
        """`*` and `?` stay inside a folder, `**` crosses folders, as gitignore has it.

        Keeps all places that the pattern may have come to. A regular expression tries them one after the other, which takes
        for ever with eight stars and a path that almost fits.
        """
        places = {0}
        for token in _tokens(pattern):
            self._count(path, token, places)
            places = _further(path, token, places)
            if not places:
                return False
        return len(path) in places

    def _count(self, path: str, token: str, places: set[int]) -> None:
        self._steps -= 1 + (len(path) - min(places) if token.startswith("*") else len(places))
        if self._steps < 0:
            raise RenderLimit(
                f"{path[:80]}: render.directory.include and exclude take more than {MOST_STEPS // 10**6} million steps for "
                "the files of this folder; use fewer globs, with fewer stars",
                subject=path[:80],
            )


def _refuse_inputs(path: str) -> None:
    """Charts and kustomizations below a plain folder are meant for another application, or this one means them."""
    what = _INPUTS.get(posixpath.basename(path))
    if what is not None:
        raise InvalidManifest(
            f"{path} belongs to {what}, but its application renders a folder above it as plain manifests; point "
            "source.path at it, or name it in render.directory.exclude",
            subject=path,
        )


def _further(path: str, token: str, places: set[int]) -> set[int]:
    first, end = min(places), len(path)
    if token == "**/":
        return places | {at + 1 for at in range(first, end) if path[at] == "/"}
    if token == "**":
        return set(range(first, end + 1))
    if token == "*":
        found: set[int] = set()
        for at in range(first, end + 1):
            if at in places or (at - 1 in found and path[at - 1] != "/"):
                found.add(at)
        return found
    if token == "?":
        return {at + 1 for at in places if at < end and path[at] != "/"}
    return {at + len(token) for at in places if path.startswith(token, at)}


@cache
def _tokens(pattern: str) -> tuple[str, ...]:
    return tuple(token for token in re.split(r"(\*\*/|\*\*|\*|\?)", pattern) if token)
