"""The one serializer that redacts: what leaves the engine for people, logs or records goes through it.

By the kind of the parsed object, never by the look of a text; a List is masked item by item. Two different values stay
different and two equal ones equal within one process, so that a change can be seen without the value: each is replaced by
a keyed hash (HMAC) whose key lives only in this process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from reconciler.model.manifest import Raw
from reconciler.objects.keys import LAST_APPLIED

_KEY = secrets.token_bytes(32)
SECRET_FIELDS = ("data", "stringData")
HIDDEN = "(hidden)"
_SHORTEST = 3
"""Shorter values are left in: cut from every word that holds them, they would leave no sentence to read."""
_GO_YAML_SHOWS = 7
"""Of a longer value go-yaml's errors show so many characters, and three dots."""


def is_secret(body: Raw) -> bool:
    """Whether the object's values must never be shown."""
    group = str(body.get("apiVersion", "v1")).rpartition("/")[0]  # of `/v1`, too, which the API server takes for `v1`
    return body.get("kind") in ("Secret", "SecretList") and not group


def masked(body: Raw) -> dict[str, Any]:
    """A copy that may be shown: values of Secrets hashed, kubectl's last-applied annotation (which repeats them) cut."""
    shown = dict(body)
    if is_secret(body):
        for field in SECRET_FIELDS:
            if body.get(field):
                shown[field] = _hidden_below(body[field])
    if isinstance(body.get("items"), list):
        shown["items"] = [_masked_item(item, body) for item in body["items"]]
    meta = body.get("metadata")
    annotations = meta.get("annotations") if isinstance(meta, Mapping) else None
    if isinstance(meta, Mapping) and isinstance(annotations, Mapping) and LAST_APPLIED in annotations:
        kept = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
        shown["metadata"] = {**meta, "annotations": kept}
    return shown


def hidden(value: object) -> str:
    """Stands for a value: equal for equal values in this process, and telling nothing else."""
    digest = hmac.new(_KEY, orjson.dumps(value, default=str), hashlib.sha256).hexdigest()
    return f"(hidden {digest[:8]})"


def secret_texts(body: Raw) -> Iterator[str]:
    """Every value of a Secret, and of the Secrets in a List, as it is written; none for what is no Secret."""
    if is_secret(body):
        for field in SECRET_FIELDS:
            values = body.get(field) or {}
            yield from (str(one) for one in (values.values() if isinstance(values, Mapping) else [values]))
    items = body.get("items")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping):
            yield from secret_texts({**item, "kind": item.get("kind", "Secret")} if is_secret(body) else item)


def cut(words: str, values: Iterable[str]) -> str:
    """What another program said, without these values in any form in which it may have repeated them.

    The longest go first, so that none is left in parts. Costs one pass over the words per form.
    """
    found = {form for value in values for form in _forms(value) if len(form) >= _SHORTEST}
    for form in sorted(found, key=len, reverse=True):
        words = words.replace(form, "\0")
    return words.replace("\0", HIDDEN)


def _forms(value: str) -> Iterator[str]:
    for text in (value, _plain(value)):
        yield text
        yield orjson.dumps(text.encode(errors="replace").decode()).decode()[1:-1]  # as Go quotes it, too
        if "\n" in text:  # indented, it comes line by line
            yield from (line.strip() for line in text.splitlines())
    yield base64.b64encode(value.encode(errors="replace")).decode()
    if len(value) > _GO_YAML_SHOWS + 3:
        yield f"{value[:_GO_YAML_SHOWS]}..."


def _plain(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def _hidden_below(value: Any) -> Any:
    """The keys stay readable, the values don't; a value of a wrong shape is hidden as a whole."""
    return {key: hidden(below) for key, below in value.items()} if isinstance(value, Mapping) else hidden(value)


def _masked_item(item: Any, listing: Raw) -> Any:
    """An item of a typed list (SecretList) may leave out what the list says: its kind."""
    if not isinstance(item, Mapping):
        return hidden(item) if is_secret(listing) else item
    if "kind" not in item and is_secret(listing):
        return {key: value for key, value in masked({**item, "kind": "Secret"}).items() if key != "kind"}
    return masked(item)
