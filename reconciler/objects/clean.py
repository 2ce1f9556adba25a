"""Makes the body that is sent from the manifest that was written.

Server-side apply takes every field in the body as declared, so whatever only the API server may set is left out, and so
is `status`, which belongs to controllers. Nulls are dropped: for maps and lists they would mean "clear", which apply does
not express, and built-in kinds read them as absent. `stringData` becomes `data`, since the server would merge it without
recording who owns the resulting keys, and a key removed from Git would stay (kubernetes#108008).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from reconciler.model.manifest import Manifest, Raw
from reconciler.objects.keys import PART_OF

SERVER_METADATA = frozenset(
    {
        "managedFields",
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "generation",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)


def to_send(manifest: Manifest, part_of: str) -> dict[str, Any]:
    """The apply body of a manifest, with the part-of label on its own metadata (never on a pod template's)."""
    body = without_nulls(manifest.body)
    body.pop("status", None)
    meta = {key: value for key, value in body.get("metadata", {}).items() if key not in SERVER_METADATA}
    meta["labels"] = {**(meta.get("labels") or {}), PART_OF: part_of}
    if manifest.key.namespace:
        meta["namespace"] = manifest.key.namespace
    else:
        meta.pop("namespace", None)
    body["metadata"] = meta
    if manifest.key.kind == "Secret" and not manifest.key.group:
        _merge_string_data(body)
    return body


def without_nulls(value: Raw) -> dict[str, Any]:
    """A deep copy in which no map holds a null."""
    return {key: _cleaned(below) for key, below in value.items() if below is not None}


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_nulls(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return value


def _merge_string_data(body: dict[str, Any]) -> None:
    strings = body.pop("stringData", None)
    if strings:
        encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in strings.items()}
        body["data"] = {**(body.get("data") or {}), **encoded}
