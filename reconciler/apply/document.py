"""The inventory as it is stored: gzipped JSON in the data of a Secret, an ApplySet parent (KEP-3659).

Format 1. Short field names, since 10,000 members must fit; times in RFC 3339. A newer format is refused, never guessed.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from reconciler.errors import InventoryError
from reconciler.model.inventory import Applied, HistoryEntry, Intent, Inventory, Member, Proof
from reconciler.model.manifest import ObjectKey
from reconciler.model.revision import Closure

FORMAT = 1


def encode(inventory: Inventory) -> bytes:
    """The inventory without its resourceVersion, gzipped; equal inventories give equal bytes."""
    document = {
        "format": FORMAT,
        "installation": inventory.installation,
        "intent": _intent(inventory.intent),
        "applied": _applied(inventory.applied),
        "members": {
            key.to_text(): [member.since.isoformat(), member.adopted] for key, member in inventory.members.items()
        },
        "history": [
            [one.at.isoformat(), one.revision, one.reason, one.result, one.message, one.fence]
            for one in inventory.history
        ],
    }
    return gzip.compress(orjson.dumps(document, option=orjson.OPT_SORT_KEYS), 6, mtime=0)


def decode(data: bytes, *, resource_version: str, subject: str) -> Inventory:
    """Read what `encode` wrote. Raises InventoryError for a damaged or newer document."""
    try:
        document = orjson.loads(gzip.decompress(data))
        if document["format"] != FORMAT:
            raise InventoryError(
                f"{subject}: its format {document['format']} is newer than this Undrift reads ({FORMAT}); "
                "upgrade Undrift. Nothing was changed",
                subject=subject,
            )
        return _inventory(document, resource_version)
    except (OSError, EOFError, zlib.error, LookupError, AttributeError, TypeError, ValueError) as error:
        raise InventoryError(
            f"{subject}: the inventory is damaged ({type(error).__name__}); nothing was changed. Delete the Secret to "
            "have it made anew from the objects that are provably ours; none of these is ever pruned then",
            subject=subject,
        ) from error


def to_data(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_data(text: str, subject: str) -> bytes:
    """The bytes of a Secret's value. Raises InventoryError when it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InventoryError(f"{subject}: the inventory's data is no base64; nothing was changed") from error


def _intent(intent: Intent | None) -> Any:
    if intent is None:
        return None
    return [intent.fence, intent.revision, intent.digest, intent.started_at.isoformat()]


def _applied(applied: Applied | None) -> Any:
    if applied is None:
        return None
    return {
        "fence": applied.fence,
        "revision": applied.revision,
        "digest": applied.digest,
        "at": applied.at.isoformat(),
        "spec": applied.spec_digest,
        "complete": applied.complete,
        "proofs": {key.to_text(): [proof.manifest_digest, proof.fingerprint] for key, proof in applied.proofs.items()},
        "removed": sorted(key.to_text() for key in applied.removed),
        "adopted": sorted(key.to_text() for key in applied.adopted),
        "closure": closure_to_json(applied.closure),
    }


def closure_to_json(closure: Closure) -> dict[str, Any]:
    """The stored form of a closure."""
    return {
        "paths": dict(closure.paths),
        "inputs": closure.inputs,
        "capabilities": dict(closure.capabilities),
    }


def closure_from_json(raw: Mapping[str, Any]) -> Closure:
    """Read what `closure_to_json` gave."""
    return Closure(dict(raw["paths"]), str(raw["inputs"]), dict(raw["capabilities"]))


def applied_to_json(applied: Applied | None) -> Any:
    """The stored form of a proof, for callers that keep it elsewhere until it is flushed."""
    return _applied(applied)


def applied_from_json(document: Mapping[str, Any] | None) -> Applied | None:
    """Read what `applied_to_json` gave."""
    if document is None:
        return None
    return Applied(
        fence=int(document["fence"]),
        revision=str(document["revision"]),
        digest=str(document["digest"]),
        at=datetime.fromisoformat(document["at"]),
        spec_digest=str(document["spec"]),
        complete=bool(document["complete"]),
        proofs={ObjectKey.from_text(key): Proof(str(one[0]), str(one[1])) for key, one in document["proofs"].items()},
        removed=frozenset(ObjectKey.from_text(key) for key in document["removed"]),
        adopted=frozenset(ObjectKey.from_text(key) for key in document["adopted"]),
        closure=closure_from_json(document["closure"]),
    )


def _inventory(document: Mapping[str, Any], resource_version: str) -> Inventory:
    intent = document["intent"]
    return Inventory(
        installation=str(document["installation"]),
        members={
            ObjectKey.from_text(key): Member(datetime.fromisoformat(one[0]), bool(one[1]))
            for key, one in document["members"].items()
        },
        intent=Intent(int(intent[0]), str(intent[1]), str(intent[2]), datetime.fromisoformat(intent[3]))
        if intent
        else None,
        applied=applied_from_json(document["applied"]),
        history=tuple(
            HistoryEntry(datetime.fromisoformat(one[0]), one[1], one[2], one[3], one[4], int(one[5]))
            for one in document["history"]
        ),
        resource_version=resource_version,
    )
