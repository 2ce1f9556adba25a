"""What a kustomization names: other kustomizations, files, and what might be fetched from elsewhere.

Follows the fields of `kustomize.config.k8s.io` Kustomization and Component as Kustomize 5.8 reads them. Nothing is read
here; inline YAML in place of a path is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_ROOTS_OR_FILES = ("resources", "bases", "components")
_FILES = ("crds", "configurations")
_WITH_PATH = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")
_PLUGINS = ("generators", "transformers", "validators")
# What Kustomize takes for a URL or a repository to clone, tried with 5.8.1 (network off): any scheme, a login before a
# host, and GitHub without a scheme. `?ref=` has no other use.
_REMOTE = re.compile(r"://|^git::|^[^/]+@[^/]+[:/]|^github\.com[/:]|[?&](ref|version)=", re.IGNORECASE)


def is_remote(reference: str) -> bool:
    """Whether Kustomize would go to the network for a reference."""
    return _REMOTE.search(reference) is not None


def is_inline(reference: str) -> bool:
    """Whether an entry is YAML or JSON written in place of a path."""
    return "\n" in reference or reference.lstrip().startswith(("{", "["))


def roots_or_files(document: Mapping[str, Any]) -> Iterator[str]:
    """Entries that name a file or a folder with a kustomization of its own."""
    for field in _ROOTS_OR_FILES:
        yield from _texts(document, field)


def files(document: Mapping[str, Any]) -> Iterator[str]:
    """Entries that name a file."""
    for field in _FILES:
        yield from _texts(document, field)
    yield from (one for one in _texts(document, "patchesStrategicMerge") if not is_inline(one))
    for field in _WITH_PATH:
        yield from (str(one["path"]) for one in _maps(document, field) if one.get("path"))
    for field in _GENERATORS:
        for generator in _maps(document, field):
            yield from _generator_files(generator)
    openapi = document.get("openapi")
    if isinstance(openapi, Mapping) and openapi.get("path"):
        yield str(openapi["path"])


def plugins(document: Mapping[str, Any]) -> Iterator[str]:
    """Entries that configure generators, transformers and validators: inline, a file, or a folder."""
    for field in _PLUGINS:
        yield from _texts(document, field)


def _generator_files(generator: Mapping[str, Any]) -> Iterator[str]:
    """`files` entries may be `key=path`."""
    for one in generator.get("files") or ():
        yield str(one).rpartition("=")[2]
    yield from (str(one) for one in generator.get("envs") or ())
    if generator.get("env"):
        yield str(generator["env"])


def _texts(document: Mapping[str, Any], field: str) -> Iterator[str]:
    value = document.get(field)
    yield from (one for one in (value if isinstance(value, list) else ()) if isinstance(one, str))


def _maps(document: Mapping[str, Any], field: str) -> Iterator[Mapping[str, Any]]:
    value = document.get(field)
    yield from (one for one in (value if isinstance(value, list) else ()) if isinstance(one, Mapping))
