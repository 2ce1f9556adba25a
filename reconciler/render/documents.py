"""From text to manifests: documents, lists, and the shape that every object has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.errors import DuplicateObject, InvalidManifest
from reconciler.model.manifest import Manifest, ObjectKey
from reconciler.objects import yaml


def parse(text: bytes | str, origin: str) -> list[Manifest]:
    """The objects of one YAML or JSON text, `List`s taken apart. Raises InvalidManifest naming file and document."""
    found: list[Manifest] = []
    for number, (_, body) in enumerate(yaml.load_all(text, origin), start=1):
        found += (_manifest(one, where) for one, where in _expand(body, f"{origin}#{number}"))
    return found


def unique(manifests: Iterable[Manifest]) -> list[Manifest]:
    """The manifests as they are. Raises DuplicateObject when two are written with one identity, naming both places."""
    seen: dict[ObjectKey, Manifest] = {}
    for manifest in manifests:
        if manifest.key in seen:
            raise DuplicateObject(
                f"{manifest.key} is defined twice: in {seen[manifest.key].origin} and in {manifest.origin}; remove one",
                subject=manifest.key,
            )
        seen[manifest.key] = manifest
    return list(seen.values())


def _expand(body: Any, where: str) -> Iterator[tuple[Any, str]]:
    is_list = isinstance(body, Mapping) and str(body.get("kind", "")).endswith("List") and "items" in body
    if not is_list:
        yield body, where
        return
    for index, item in enumerate(body["items"] or ()):
        yield from _expand(item, f"{where}[{index}]")


def _manifest(body: Any, where: str) -> Manifest:
    if not isinstance(body, Mapping):
        raise InvalidManifest(f"{where}: expected a Kubernetes object, found {_kind_of(body)}", subject=where)
    for field in ("apiVersion", "kind"):
        if not isinstance(body.get(field), str) or not body[field]:
            raise InvalidManifest(f"{where}: {field} is missing or no text; every object needs it", subject=where)
    meta = body.get("metadata")
    if not isinstance(meta, Mapping):
        raise InvalidManifest(f"{where}: metadata is missing", subject=where)
    if meta.get("generateName") and not meta.get("name"):
        raise InvalidManifest(f"{where}: metadata.generateName can't be kept in sync; give it a name", subject=where)
    for field in ("name", "namespace"):
        value = meta.get(field)
        if (field == "name" and not value) or (value is not None and not isinstance(value, str)) or "|" in str(value):
            raise InvalidManifest(f"{where}: metadata.{field} is {value!r}, expected a text", subject=where)
    return Manifest(ObjectKey.of(body), body, where)


def _kind_of(value: Any) -> str:
    return {"list": "a list", "str": "a text", "NoneType": "nothing"}.get(type(value).__name__, type(value).__name__)
