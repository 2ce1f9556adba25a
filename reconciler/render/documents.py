"""From text to manifests: documents, lists, and the shape that every object has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.errors import DuplicateObject, InvalidManifest
from reconciler.model.manifest import Manifest, ObjectKey
from reconciler.objects import names, yaml
from reconciler.objects.budget import Budget

_MOST_SHOWN = 80
"""Of a text that is refused; it may be megabytes."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an object stands. The origin goes into the manifest, the line only into messages: it moves with any edit."""

    origin: str
    line: str

    def refusal(self, what: str) -> InvalidManifest:
        return InvalidManifest(f"{self.origin} ({self.line}): {what}", subject=self.origin)


def parse(text: bytes | str, origin: str, budget: Budget, *, rendered: bool = False) -> list[Manifest]:
    """The objects of one YAML or JSON text, `List`s taken apart.

    Origins are `path#document`. With `rendered` the text is what a template gave, and messages say that their lines are
    not those of the file. Raises InvalidManifest naming file and line.
    """
    label = f"{origin} as rendered" if rendered else origin
    found: list[Manifest] = []
    for number, (line, body) in enumerate(yaml.load_all(text, label, budget), start=1):
        place = _Place(f"{origin}#{number}", f"line {line} as rendered" if rendered else f"line {line}")
        found += (_manifest(one, where) for one, where in _expand(body, place))
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


def _expand(body: Any, place: _Place) -> Iterator[tuple[Any, _Place]]:
    is_list = isinstance(body, Mapping) and str(body.get("kind", "")).endswith("List") and "items" in body
    if not is_list:
        yield body, place
        return
    items = body["items"] or ()
    if not isinstance(items, list | tuple):
        raise place.refusal("items of a list must be a list")
    for index, item in enumerate(items):
        where = _Place(f"{place.origin}[{index}]", place.line)
        yield from _expand(_typed(item, body), where)


def _typed(item: Any, body: Mapping[str, Any]) -> Any:
    """An item of, say, a ConfigMapList may leave its kind to the list, as `kubectl get --raw` prints it."""
    if body["kind"] == "List" or not isinstance(item, Mapping) or "kind" in item:
        return item
    return {"apiVersion": body.get("apiVersion"), "kind": str(body["kind"]).removesuffix("List"), **item}


def _manifest(body: Any, place: _Place) -> Manifest:
    if not isinstance(body, Mapping):
        raise place.refusal(f"expected a Kubernetes object, found {_kind_of(body)}")
    for field in ("apiVersion", "kind"):
        if not isinstance(body.get(field), str) or not body[field]:
            raise place.refusal(
                f"{field} is missing or no text, so this is no Kubernetes object; a file that is meant for something "
                "else can be left out by render.directory.exclude"
            )
    _require_type(body, place)
    meta = body.get("metadata")
    if not isinstance(meta, Mapping):
        raise place.refusal(f"{body['kind']}: metadata is missing")
    if meta.get("generateName") and not meta.get("name"):
        raise place.refusal(
            f"{body['kind']}: metadata.generateName gives another name each time, so the object can't be kept in sync; "
            "give it metadata.name"
        )
    for field, longest in (("name", names.LONGEST_NAME), ("namespace", names.LONGEST_NAMESPACE)):
        value = meta.get(field)
        if (field == "name" and not value) or (value is not None and not isinstance(value, str)):
            raise place.refusal(f"{body['kind']}: metadata.{field} is {_shown(value)}, expected a text")
        if flaw := names.flaw_of_name(value or "", longest):
            raise place.refusal(f"{body['kind']}: metadata.{field} {_cut(value or '')} {flaw}")
    return Manifest(ObjectKey.of(body), body, place.origin)


def _require_type(body: Mapping[str, Any], place: _Place) -> None:
    if not names.is_api_version(body["apiVersion"]):
        raise place.refusal(f"apiVersion is {_cut(body['apiVersion'])}, expected `v1` or `group/v1`")
    if not names.is_kind(body["kind"]):
        raise place.refusal(f"kind is {_cut(body['kind'])}, expected letters and digits, {names.LONGEST_KIND} at most")


def _cut(text: str) -> str:
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…")


def _shown(value: Any) -> str:
    """As people wrote it, with the way out of YAML's look-alikes."""
    if value is None or value == "":
        return "missing"
    return f"{str(value)[:_MOST_SHOWN].lower()} (put it in quotes)"


def _kind_of(value: Any) -> str:
    return {"list": "a list", "str": "a text", "NoneType": "nothing"}.get(type(value).__name__, type(value).__name__)
