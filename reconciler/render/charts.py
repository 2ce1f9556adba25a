"""A chart's files as Helm has to find them: those of its folder, and its `file://` dependencies vendored into `charts/`.

Nothing is fetched. A dependency that is neither in `charts/` nor in the repository is refused with what to do about it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.errors import InvalidManifest, PathNotFound, RemoteBase, TemplateFailed
from reconciler.objects import yaml
from reconciler.objects.budget import Budget
from reconciler.render import packed, schemas
from reconciler.render.reading import Reading, join, leads_out

_PACKED = re.compile(r"charts/(?P<name>.+)-v?\d+\.\d+\.\d+[^/]*\.tgz")
_UNPACKED = re.compile(r"charts/[^/]+/Chart\.yaml")


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart's Chart.yaml, and its files by path from the chart's own folder.

    `seen` is all that Helm reads, what packed dependencies hold included, for questions about their words.
    """

    metadata: Mapping[str, Any]
    files: Mapping[str, bytes]
    seen: Mapping[str, bytes]

    @property
    def name(self) -> str:
        return str(self.metadata.get("name") or "")


def collect(path: str, reading: Reading) -> Chart:
    """The chart of a folder, ready to be rendered. Raises TemplateFailed, InvalidManifest, RemoteBase, RenderLimit."""
    metadata, collected = _collect(path, reading, frozenset())
    if metadata.get("type") == "library":
        raise TemplateFailed(f"{join(path, 'Chart.yaml')}: a library chart can't be installed by itself", subject=path)
    files, seen = packed.Opener(path).opened(collected)
    schemas.require_local(path, seen)
    return Chart(metadata, files, seen)


def one_map(text: bytes, path: str, budget: Budget) -> Mapping[str, Any]:
    """The one mapping that a file holds; empty for an empty file."""
    found = yaml.load_all(text, path, budget)
    if not found:
        return {}
    if len(found) != 1 or not isinstance(found[0][1], Mapping):
        raise InvalidManifest(f"{path}: expected one document, a mapping", subject=path)
    return found[0][1]


def _collect(path: str, reading: Reading, above: frozenset[str]) -> tuple[Mapping[str, Any], dict[str, bytes]]:
    """A chart's Chart.yaml and files, its `file://` dependencies among them."""
    if path in above:
        raise TemplateFailed(f"{path}: the chart depends on itself", subject=path)
    start = len(path) + 1 if path else 0
    files = {name[start:]: data for name, data in reading.folder(path).items()}
    at = join(path, "Chart.yaml")
    if "Chart.yaml" not in files:
        raise TemplateFailed(f"{path} is no chart: it holds no Chart.yaml", subject=path)
    metadata = one_map(files["Chart.yaml"], at, reading.budget)
    vendored = set(_vendored(files, path, reading.budget))
    for dependency in _dependencies(metadata, files, path, reading.budget):
        name = str(dependency.get("name"))
        if name not in vendored:
            source = _located(dependency, path)
            _, below = _collect(_existing(source, name, at, reading), reading, above | {path})
            vendored.add(name)  # one that is declared again under an alias is there now
            files |= {f"charts/{name}/{one}": data for one, data in below.items()}
    return metadata, files


def _dependencies(
    metadata: Mapping[str, Any], files: Mapping[str, bytes], path: str, budget: Budget
) -> Iterator[Mapping[str, Any]]:
    """Those of Chart.yaml, or of requirements.yaml where an old chart has that."""
    declared = metadata.get("dependencies")
    if declared is None and "requirements.yaml" in files:
        declared = one_map(files["requirements.yaml"], join(path, "requirements.yaml"), budget).get("dependencies")
    for one in declared or ():
        if not isinstance(one, Mapping) or not one.get("name"):
            raise InvalidManifest(f"{join(path, 'Chart.yaml')}: a dependency without a name", subject=path)
        yield one


def _vendored(files: Mapping[str, bytes], path: str, budget: Budget) -> Iterator[str]:
    """The names of the charts in `charts/`, packed or not."""
    for name, data in files.items():
        if (match := _PACKED.fullmatch(name)) is not None:
            yield match["name"]
        elif _UNPACKED.fullmatch(name):
            yield str(one_map(data, join(path, name), budget).get("name"))


def _located(dependency: Mapping[str, Any], path: str) -> str:
    """Where a `file://` dependency lies, from the repository's root."""
    at, name = join(path, "Chart.yaml"), str(dependency.get("name"))
    repository = str(dependency.get("repository") or "")
    if not repository.startswith("file://"):
        raise RemoteBase(
            f"{at}: dependency {name} is not in charts/, and nothing is fetched while rendering; run "
            "`helm dependency build` and commit charts/",
            subject=path,
        )
    source = posixpath.normpath(posixpath.join(path, repository.removeprefix("file://")))
    if leads_out(source):
        raise RemoteBase(f"{at}: dependency {name} ({repository}) leads out of the repository", subject=path)
    return "" if source == "." else source


def _existing(source: str, name: str, at: str, reading: Reading) -> str:
    try:
        reading.files(source)
    except PathNotFound as error:
        raise TemplateFailed(f"{at}: dependency {name}: no folder {source} in the repository", subject=at) from error
    return source
