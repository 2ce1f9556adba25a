"""What of the files that an engine was given must not come back in its words: engines quote what they refuse.

Counted as secret: the values of Secrets, literals and files of secretGenerators, and what patches set, unless their target
is said to be of another kind. What can't be parsed, often the very thing the engine complains of, counts line by line
where such a value may stand. Rather a word too many is hidden than one too few: file, line and field stay readable.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.errors import InvalidManifest
from reconciler.objects import mask, yaml
from reconciler.objects.budget import Budget
from reconciler.objects.kinds import SECRET

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
MOST_VALUES = 3000
"""Each is looked for in all of the words; that many take about a second in the largest ones."""
UNSAID = "the engine's words are not shown here: the files hold too many secret values to look for each of them"
_TEXTS = (".yaml", ".yml", ".json", *KUSTOMIZATIONS)
_INLINE = ("patches", "patchesJson6902", "patchesStrategicMerge", "generators", "transformers", "validators")
_BLOCK = re.compile(
    r"^(?P<indent>[ \t]*)(?:- *)*[\"']?(?:data|stringData|literals|patch|value|jsonOp)[\"']?:(?P<rest>.*)$"
)
_KIND = re.compile(r"[A-Za-z0-9]+")
_BETWEEN = re.compile(r"""[\s,{}\[\]"'|>]+""")
_SCHEMA_ECHO = re.compile(r"'(?:[^'\\]|\\.)*' (?=does not match pattern|is not valid)")
"""Helm's validator repeats a value that a pattern or format refuses, be it a password's."""


def safe(words: str, files: Mapping[str, bytes]) -> str:
    """An engine's words without what is secret in the files that it was given."""
    search, values = _Search(files), set[str]()
    for path in files:
        values.update(search.values(path))
        if len(values) > MOST_VALUES:
            return UNSAID
    return _SCHEMA_ECHO.sub(f"{mask.HIDDEN} ", mask.cut(words, values))


class _Search:
    """Finds what is secret in files. What no longer fits into the budget of one render counts as if it were no YAML."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._budget = Budget()

    def values(self, path: str) -> Iterator[str]:
        """What is secret in one file, and in those that its generators name."""
        if not path.endswith(_TEXTS):
            return
        data = self._files[path]
        try:
            documents = yaml.load_all(data, path, self._budget)
        except InvalidManifest:
            yield from _of_lines(data.decode(errors="replace"))
            return
        for _, document in documents:
            yield from self._of_document(document, posixpath.dirname(path))

    def _of_document(self, document: Any, folder: str) -> Iterator[str]:
        """Of an object, a kustomization, a generator's or transformer's configuration, or a JSON patch."""
        if isinstance(document, list):
            yield from _of_operations(document)
        if not isinstance(document, Mapping):
            return
        yield from mask.secret_texts(document)
        generators = [
            *_list(document, "secretGenerator"),
            *([document] if document.get("kind") == "SecretGenerator" else []),
        ]
        for generator in generators:
            if isinstance(generator, Mapping):
                yield from self._of_generator(generator, folder)
        for field in _INLINE:
            for entry in _list(document, field):
                yield from self._of_patch(entry, folder)
        if str(document.get("kind", "")).startswith("Patch"):
            yield from self._of_patch(document, folder)

    def _of_generator(self, generator: Mapping[str, Any], folder: str) -> Iterator[str]:
        for literal in _list(generator, "literals"):
            yield str(literal).partition("=")[2] or str(literal)
        envs = [*_list(generator, "envs"), *([generator["env"]] if generator.get("env") else [])]
        for reference in envs:
            for line in self._content(str(reference), folder).splitlines():
                yield line.partition("=")[2] or line
        for reference in _list(generator, "files"):
            yield self._content(str(reference).rpartition("=")[2], folder)

    def _content(self, reference: str, folder: str) -> str:
        """A file's text, whatever kind of file it is; nothing where it is reached by a link."""
        return self._files.get(posixpath.normpath(posixpath.join(folder, reference)), b"").decode(errors="replace")

    def _of_patch(self, entry: Any, folder: str) -> Iterator[str]:
        """Of an entry that holds a patch, or is one, written out in place."""
        if not isinstance(entry, Mapping):
            yield from self._of_inline(entry, folder)
            return
        target = entry.get("target")
        if not _is_of_another_kind(target if isinstance(target, Mapping) else {}):
            for text in (entry.get("patch"), entry.get("jsonOp"), entry.get("patches")):
                yield from self._of_inline(text, folder)

    def _of_inline(self, text: Any, folder: str) -> Iterator[str]:
        if not isinstance(text, str) or not ("\n" in text or text.lstrip().startswith(("{", "["))):
            return  # a path
        try:
            for _, document in yaml.load_all(text, "patch", self._budget):
                if isinstance(document, Mapping) and "kind" not in document:
                    yield from _leaves(document)
                yield from self._of_document(document, folder)
        except InvalidManifest:
            yield from _of_all(text.splitlines())


def _of_operations(operations: Iterable[Any]) -> Iterator[str]:
    for one in operations:
        if isinstance(one, Mapping):
            yield from _leaves(one.get("value"))


def _is_of_another_kind(target: Mapping[str, Any]) -> bool:
    """Whether a patch's target is surely no Secret: its kind is another word.

    Kustomize takes the kind for a pattern. Whatever is more than a word may mean Secrets: it is not tried, as Python's
    engine, unlike Go's, can take for ever over one.
    """
    kind = str(target.get("kind") or "")
    return _KIND.fullmatch(kind) is not None and kind != SECRET.kind


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for below in value.values():
            yield from _leaves(below)
    elif isinstance(value, list):
        for below in value:
            yield from _leaves(below)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _of_lines(text: str) -> Iterator[str]:
    """Of a text that is no YAML, such as a template: what stands in and below fields that hold such values."""
    if "ecret" not in text and "patch" not in text:
        return
    indent: int | None = None
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if indent is not None and line.strip() and (depth > indent or line.lstrip().startswith("- ")):
            yield from _of_all([line])
            continue
        match = _BLOCK.match(line)
        indent = len(match["indent"]) if match else indent if not line.strip() else None
        if match:
            yield from _of_all([match["rest"]])


def _of_all(lines: Iterable[str]) -> Iterator[str]:
    """Each line, and each of its words that may be a value, save for what a template fills in."""
    for line in lines:
        if "{{" in line:
            continue
        yield line.strip().removeprefix("- ")
        yield line.partition(": ")[2].strip().strip("\"'")
        yield from (word.partition("=")[2] or word for word in _BETWEEN.split(line) if not word.endswith(":"))


def _list(document: Mapping[str, Any], field: str) -> list[Any]:
    value = document.get(field)
    return value if isinstance(value, list) else []
