"""Plain folders: every YAML and JSON file that the globs let in is a manifest."""

from __future__ import annotations

import re
from functools import cache

from reconciler.model.manifest import Manifest
from reconciler.model.revision import Checkout
from reconciler.model.spec import DirectoryOptions
from reconciler.render import documents
from reconciler.render.reading import Reading

SUFFIXES = (".yaml", ".yml", ".json")


def render(checkout: Checkout, options: DirectoryOptions, reading: Reading) -> list[Manifest]:
    """The manifests of a folder, files in path order. The whole folder is the closure, as a new file would count."""
    found: list[Manifest] = []
    files = reading.folder(checkout.path)
    for path in sorted(files):
        inside = path[len(checkout.path) + 1 :] if checkout.path else path
        if inside.endswith(SUFFIXES) and is_included(inside, options):
            found += documents.parse(files[path], path)
    return found


def is_included(path: str, options: DirectoryOptions) -> bool:
    """Whether a file counts: below the folder itself unless `recurse`, in some `include`, in no `exclude`."""
    if not options.recurse and "/" in path:
        return False
    if options.include and not any(_glob(pattern).match(path) for pattern in options.include):
        return False
    return not any(_glob(pattern).match(path) for pattern in options.exclude)


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay inside a folder, `**` crosses folders, as gitignore has it."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in parts) + r"\Z")
