"""The one serializer that redacts: what leaves the engine for people, logs or records goes through it.

By the kind of the parsed object, never by the look of a text. Two different values stay different and two equal ones
equal within one process, so that a change can be seen without the value: each is replaced by a keyed hash (HMAC) whose
key lives only in this process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

import orjson

from reconciler.model.manifest import Raw
from reconciler.objects.keys import LAST_APPLIED

_KEY = secrets.token_bytes(32)


def is_secret(body: Raw) -> bool:
    """Whether the object's values must never be shown."""
    return body.get("kind") == "Secret" and "/" not in str(body.get("apiVersion", "v1"))


def masked(body: Raw) -> dict[str, Any]:
    """A copy that may be shown: values of Secrets hashed, kubectl's last-applied annotation (which repeats them) cut."""
    shown = {key: value for key, value in body.items() if not (is_secret(body) and key in ("data", "stringData"))}
    if is_secret(body):
        for field in ("data", "stringData"):
            if body.get(field):
                shown[field] = {key: hidden(value) for key, value in body[field].items()}
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    if LAST_APPLIED in annotations:
        kept = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
        shown["metadata"] = {**body["metadata"], "annotations": kept}
    return shown


def hidden(value: object) -> str:
    """Stands for a value: equal for equal values in this process, and telling nothing else."""
    digest = hmac.new(_KEY, orjson.dumps(value, default=str), hashlib.sha256).hexdigest()
    return f"(hidden {digest[:8]})"
