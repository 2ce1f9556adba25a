"""What a chart's `values.schema.json` refers to: Helm fetches it, from the network or from the helper's own disk.

So a reference may lead only to a place in the same file, `#…`. The file is read as JSON, since `"\\u0024ref"` is a `$ref` to
Helm as well, and every key counts wherever it stands: a word that is none where it stands costs an author a sentence, one
that is overlooked could cost a credential. A relative reference leads nowhere in a repository either: to Helm the file
lies at the root of the disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from reconciler.errors import InvalidManifest, RemoteBase
from reconciler.render.reading import join

_PLACE = re.compile(r"(charts/[^/]+/)*values\.schema\.json")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_KNOWN = re.compile(r"https?://json-schema\.org/(draft(-0[467]|/20(19-09|20-12))/)?schema#?")
"""The dialects that Helm holds itself; it would fetch any other."""


def require_local(path: str, files: Mapping[str, bytes]) -> None:
    """Raises RemoteBase when a values schema among a chart's files leads out of itself, InvalidManifest for no JSON."""
    for name, data in files.items():
        if data and _PLACE.fullmatch(name):
            _require_local(join(path, name), data)


def _require_local(at: str, data: bytes) -> None:
    def look(pairs: list[tuple[str, Any]]) -> None:
        for key, value in pairs:
            if isinstance(value, str) and _leads_out(key, value):
                raise RemoteBase(
                    f"{at}: a {key} leads out of the repository; put the schema into this file", subject=at
                )

    try:
        json.loads(data.decode("utf-8-sig", errors="replace"), object_pairs_hook=look)
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"{at}: the values schema is no JSON", subject=at) from error


def _leads_out(key: str, value: str) -> bool:
    if key == "$schema":
        return _KNOWN.fullmatch(value) is None
    return key in _REFERENCES and not value.startswith("#")
