"""Kustomize: follows a kustomization's references, hands exactly those files to the helper, and reads what it built.

References are followed here, not by Kustomize, for two reasons: what was followed is the closure, and a remote base is
refused before anything could fetch it. Kustomize's own load restrictor stays on.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.errors import InvalidManifest, PathNotFound, RemoteBase, TemplateFailed
from reconciler.model.manifest import Manifest
from reconciler.model.revision import Checkout
from reconciler.objects import yaml
from reconciler.render import documents
from reconciler.render.helper_process import HelperProcess
from reconciler.render.reading import Reading

FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_FOLDERS_OR_FILES = (
    "resources",
    "bases",
    "components",
    "crds",
    "configurations",
)
_PLUGINS = ("generators", "transformers", "validators")
_REFUSED = ("helmCharts", "helmChartInflationGenerator", "helmGlobals")
_REMOTE = ("://", "git@", "github.com/", "gitlab.com/", "bitbucket.org/", "?ref=", "git::")


def render(checkout: Checkout, reading: Reading, helper: HelperProcess) -> list[Manifest]:
    """The manifests that Kustomize builds from the checkout's folder, in its order. Raises RemoteBase, TemplateFailed."""
    files: dict[str, bytes] = {}
    _follow(checkout.path, reading, files, frozenset())
    answer = helper.ask({"engine": "kustomize", "target": checkout.path}, files)
    return documents.parse(str(answer["text"]), checkout.path or "kustomization")


def _follow(folder: str, reading: Reading, files: dict[str, bytes], above: frozenset[str]) -> None:
    """Collect a kustomization's files and those of everything that it names."""
    if folder in above:
        raise TemplateFailed(f"{folder}: the kustomization includes itself by way of its bases", subject=folder)
    path, document = _kustomization(folder, reading, files)
    for field in _REFUSED:
        if document.get(field):
            raise RemoteBase(f"{path}: {field} is not supported; render the chart as an application of its own")
    for reference in _references(document):
        _take(reference, folder, path, reading, files, above | {folder})


def _kustomization(folder: str, reading: Reading, files: dict[str, bytes]) -> tuple[str, Mapping[str, Any]]:
    for name in FILE_NAMES:
        path = _join(folder, name)
        if reading.entry(path) is not None:
            files[path] = reading.read(path)
            found = yaml.load_all(files[path], path)
            if len(found) != 1 or not isinstance(found[0][1], Mapping):
                raise InvalidManifest(f"{path}: expected one document, a kustomization", subject=path)
            return path, found[0][1]
    raise TemplateFailed(f"{folder or '/'} is used as a base, but holds no kustomization.yaml", subject=folder)


def _take(
    reference: str, folder: str, path: str, reading: Reading, files: dict[str, bytes], above: frozenset[str]
) -> None:
    if any(sign in reference for sign in _REMOTE):
        raise RemoteBase(f"{path}: {reference} is outside the repository; vendor it into the repository", subject=path)
    target = posixpath.normpath(_join(folder, reference))
    if target.startswith(("..", "/")):
        raise RemoteBase(f"{path}: {reference} leads out of the repository", subject=path)
    target = "" if target == "." else target
    found = reading.entry(target)
    if found is None:
        raise PathNotFound(f"{path}: {reference} does not exist in the repository", subject=path)
    if found.kind == "folder":
        _follow(target, reading, files, above)
    else:
        files[target] = reading.read(target)


def _references(document: Mapping[str, Any]) -> Iterator[str]:
    """The paths that a kustomization names; inline YAML in their place is passed over."""
    for field in (*_FOLDERS_OR_FILES, *_PLUGINS):
        yield from (one for one in _list(document, field) if isinstance(one, str) and "\n" not in one)
    for one in _list(document, "patchesStrategicMerge"):
        if isinstance(one, str) and "\n" not in one and not one.lstrip().startswith("{"):
            yield one
    for field in ("patches", "patchesJson6902", "replacements"):
        yield from (str(one["path"]) for one in _list(document, field) if isinstance(one, Mapping) and one.get("path"))
    for field in ("configMapGenerator", "secretGenerator"):
        for one in _list(document, field):
            yield from _generator_files(one)
    openapi = document.get("openapi")
    if isinstance(openapi, Mapping) and openapi.get("path"):
        yield str(openapi["path"])


def _generator_files(generator: Any) -> Iterator[str]:
    """`files` entries may be `key=path`."""
    if not isinstance(generator, Mapping):
        return
    for one in generator.get("files") or ():
        yield str(one).rpartition("=")[2]
    yield from (str(one) for one in generator.get("envs") or ())
    if generator.get("env"):
        yield str(generator["env"])


def _list(document: Mapping[str, Any], field: str) -> list[Any]:
    value = document.get(field)
    return value if isinstance(value, list) else []


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
