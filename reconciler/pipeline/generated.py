"""Puts the live value in the place of what a chart generates anew at each render (`render.helm.keepGenerated`).

The first render's value is applied once; after that the object itself keeps it. Lost with the object, it is generated
anew, as the chart would.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace

from reconciler.model.manifest import Manifest, ManifestSet, Raw
from reconciler.model.spec import KeepGenerated
from reconciler.objects import pointer
from reconciler.ports import ClusterApi

STRING_DATA = "/stringData/"


def keep(api: ClusterApi, desired: ManifestSet, rules: Sequence[KeepGenerated]) -> ManifestSet:
    """The set with each named path as it is live. One request for each object that a rule names."""
    if not rules:
        return desired
    return replace(desired, manifests=tuple(_kept(api, one, rules) for one in desired))


def _kept(api: ClusterApi, manifest: Manifest, rules: Sequence[KeepGenerated]) -> Manifest:
    paths = [path for rule in rules if rule.concerns(manifest.key) for path in rule.paths]
    resource = api.discovery().find(manifest.key.group_kind) if paths else None
    live = api.get(resource, manifest.key.namespace, manifest.key.name) if resource else None
    if live is None:
        return manifest
    body = manifest.body
    for path in paths:
        value = _live_value(live, path)
        if value is not pointer.NOTHING and pointer.value_at(body, path) is not pointer.NOTHING:
            body = pointer.with_value(body, path, value)
    return replace(manifest, body=body)


def _live_value(live: Raw, path: str) -> object:
    """What is live at a path. The texts of a Secret live as data, in base64."""
    if not path.startswith(STRING_DATA):
        return pointer.value_at(live, path)
    value = pointer.value_at(live, f"/data/{path.removeprefix(STRING_DATA)}")
    if not isinstance(value, str):
        return pointer.NOTHING
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return pointer.NOTHING
