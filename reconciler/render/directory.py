"""Plain folders: every YAML and JSON file that the globs let in is a manifest."""

from __future__ import annotations

import posixpath
import re
from functools import cache

from reconciler.errors import InvalidManifest
from reconciler.model.manifest import Manifest
from reconciler.model.revision import Checkout
from reconciler.model.spec import DirectoryOptions
from reconciler.render import documents
from reconciler.render.reading import Reading

SUFFIXES = (".yaml", ".yml", ".json")
_INPUTS = {
    "Chart.yaml": "a Helm chart",
    "kustomization.yaml": "a kustomization",
    "kustomization.yml": "a kustomization",
}


def render(checkout: Checkout, options: DirectoryOptions, reading: Reading) -> list[Manifest]:
    """The manifests of a folder, files in path order. The whole folder is the closure, as a new file would count."""
    found: list[Manifest] = []
    for file in reading.files(checkout.path):
        inside = file.path[len(checkout.path) :].lstrip("/")
        if inside.endswith(SUFFIXES) and is_included(inside, options):
            _refuse_inputs(file.path)
            found += documents.parse(reading.read(file.real), file.path, reading.budget)
    return found


def is_included(path: str, options: DirectoryOptions) -> bool:
    """Whether a file counts: below the folder itself unless `recurse`, in some `include`, in no `exclude`."""
    if not options.recurse and "/" in path:
        return False
    if options.include and not any(_glob(pattern).match(path) for pattern in options.include):
        return False
    return not any(_glob(pattern).match(path) for pattern in options.exclude)


def _refuse_inputs(path: str) -> None:
    """Charts and kustomizations below a plain folder are meant for another application, or this one means them."""
    what = _INPUTS.get(posixpath.basename(path))
    if what is not None:
        raise InvalidManifest(
            f"{path} belongs to {what}, but its application renders a folder above it as plain manifests; point "
            "source.path at it, or name it in render.directory.exclude",
            subject=path,
        )


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay inside a folder, `**` crosses folders, as gitignore has it."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in parts) + r"\Z")
