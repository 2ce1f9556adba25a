"""One notice as it is sent: a JSON text, and the signature by which a receiver knows whose it is."""

from __future__ import annotations

import hashlib
import hmac
import json

from reconciler.model.status import API_VERSION
from reconciler.notify.book import Told

SIGNATURE_HEADER = "Undrift-Signature"
MOST_INSTANCES = 50
LONGEST_MESSAGE = 2000


def body(entry: Told) -> bytes:
    """The JSON of what is due of an entry. Every field is always there; what does not apply is empty.

    Names, a stable reason, and the status's own sentence, which holds no secrets (invariant 8).
    """
    topic, ends = entry.topic, entry.tells_the_end
    message = entry.end if ends else entry.message
    return json.dumps(
        {
            "apiVersion": API_VERSION,
            "kind": "Notice",
            "key": key(entry),
            "ends": topic.key if ends else "",
            "condition": str(entry.condition),
            "reason": topic.reason,
            "project": topic.project,
            "application": topic.application,
            "cluster": topic.cluster,
            "repository": topic.repository,
            "scope": topic.scope,
            "revision": "" if topic.scope else topic.revision,
            "instances": list(entry.instances[:MOST_INSTANCES]),
            "count": len(entry.instances),
            "message": message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…",
            "at": entry.at.isoformat(),
        },
        ensure_ascii=False,
    ).encode()


def key(entry: Told) -> str:
    """The stable key of the notice that is due."""
    return entry.topic.end_key if entry.tells_the_end else entry.topic.key


def signature(secret: bytes, at_s: int, text: bytes) -> str:
    """`t=<unix>,v1=<hex hmac-sha256 of "t.body">`: the time is signed too, so that an old notice can't be sent again."""
    digest = hmac.new(secret, str(at_s).encode() + b"." + text, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"
