"""Reads an API server's audit log: who wrote what, under which fence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

WRITES = frozenset({"create", "update", "patch", "delete"})
_AGENT = re.compile(r"\((?P<instance>\S+) fence=(?P<fence>\d+)\)")


@dataclass(frozen=True, slots=True)
class Write:
    """One successful write of ours; `began` and `ended` are the API server's times."""

    instance: str
    fence: int
    verb: str
    resource: str
    name: str
    began: datetime
    ended: datetime

    @property
    def is_parent(self) -> bool:
        """Whether this wrote the instance's inventory, which carries the fence."""
        return self.resource == "secrets" and self.name.startswith("undrift.")


def writes(log: Path, since: datetime) -> Iterator[Write]:
    """Our successful writes since a moment, in the order in which they ended."""
    for line in log.read_bytes().splitlines():
        event = orjson.loads(line)
        agent = _AGENT.search(event.get("userAgent", ""))
        status = (event.get("responseStatus") or {}).get("code", 0)
        if (
            agent is None
            or event.get("verb") not in WRITES
            or event.get("stage") != "ResponseComplete"
            or status >= 300
        ):
            continue
        began = datetime.fromisoformat(event["requestReceivedTimestamp"])
        if began >= since:
            found = event["objectRef"]
            yield Write(
                instance=agent["instance"],
                fence=int(agent["fence"]),
                verb=event["verb"],
                resource=str(found.get("resource")),
                name=str(found.get("name", "")),
                began=began,
                ended=datetime.fromisoformat(event["stageTimestamp"]),
            )


def writes_under_an_old_fence(found: list[Write]) -> list[Write]:
    """Member writes that began after a higher fence stood in their instance's parent."""
    stood: dict[str, list[tuple[datetime, int]]] = {}
    for one in found:
        if one.is_parent:
            stood.setdefault(one.instance, []).append((one.ended, one.fence))
    return [
        one
        for one in found
        if not one.is_parent and any(fence > one.fence and at < one.began for at, fence in stood.get(one.instance, ()))
    ]
