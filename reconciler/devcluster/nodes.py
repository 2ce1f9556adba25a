"""The simulated Nodes of a full cluster, and the KWOK stages that say how Nodes and Pods behave.

The stages are the YAML files in `stages/`, written for this project after KWOK's own fast ones, with two of ours: a
container whose image tag is `broken` can't be pulled, one tagged `crash` crashes again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

__all__ = ["NODES", "are_ready", "body", "stages"]

NODES: Final = ("node-0", "node-1", "node-2")


def stages() -> str:
    """All stages as one YAML stream, for KWOK's `--config`."""
    folder = resources.files("reconciler.devcluster") / "stages"
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return "\n---\n".join((folder / name).read_text() for name in files)


def body(name: str) -> dict[str, Any]:
    """A Node that only KWOK looks after."""
    room = {"cpu": "64", "memory": "256Gi", "pods": "5000", "ephemeral-storage": "1Ti"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
        },
        "status": {"allocatable": room, "capacity": room},
    }


def are_ready(listing: Mapping[str, Any]) -> bool:
    """Whether all our Nodes are there and ready."""
    ready = [node for node in listing.get("items", ()) if _is_ready(node)]
    return len(ready) >= len(NODES)


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
