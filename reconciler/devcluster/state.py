"""A running cluster as others see it, and how it is written to disk for them.

The state file is written last, when everything answers, and holds the admin token: the folder is 0700, the file 0600.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reconciler.devcluster.programs import Layout, Tokens

__all__ = ["Running", "kubeconfig_text", "load_state", "write_private", "write_state"]


@dataclass(frozen=True, slots=True)
class Running:
    """A cluster that runs. `ca` is PEM text; `pid` is the supervisor's; `powerless_token` is of a user without rights."""

    name: str
    server_url: str
    kubeconfig: Path
    ca: str
    token: str
    audit_log: Path | None
    pid: int
    powerless_token: str
    bare: bool

    @property
    def folder(self) -> Path:
        """Its private folder: logs of its programs, certificates, data."""
        return self.kubeconfig.parent


def describe(name: str, layout: Layout, port: int, tokens: Tokens, *, bare: bool, audit: bool) -> Running:
    """The cluster that this process supervises, once its API server has made its certificate."""
    return Running(
        name=name,
        server_url=f"https://127.0.0.1:{port}",
        kubeconfig=layout.kubeconfig,
        ca=layout.certificate.read_text(),
        token=tokens.admin,
        audit_log=layout.audit_log if audit else None,
        pid=os.getpid(),
        powerless_token=tokens.powerless,
        bare=bare,
    )


def kubeconfig_text(running: Running) -> str:
    """A self-contained admin kubeconfig: certificate and token inside."""
    cluster = {
        "server": running.server_url,
        "certificate-authority-data": base64.b64encode(running.ca.encode()).decode(),
    }
    name = running.name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": running.token}}],
    }
    return yaml.safe_dump(document, sort_keys=False)


def write_state(layout: Layout, running: Running) -> None:
    """Make the cluster known to others."""
    document: dict[str, Any] = {
        "name": running.name,
        "server_url": running.server_url,
        "token": running.token,
        "powerless_token": running.powerless_token,
        "audit": running.audit_log is not None,
        "bare": running.bare,
        "pid": running.pid,
    }
    write_private(layout.state, json.dumps(document))


def load_state(layout: Layout) -> Running | None:
    """The cluster described in this folder, None when it is not ready yet or is going away."""
    try:
        document, ca = json.loads(layout.state.read_text()), layout.certificate.read_text()
    except FileNotFoundError:
        return None
    return Running(
        name=document["name"],
        server_url=document["server_url"],
        kubeconfig=layout.kubeconfig,
        ca=ca,
        token=document["token"],
        audit_log=layout.audit_log if document["audit"] else None,
        pid=document["pid"],
        powerless_token=document["powerless_token"],
        bare=document["bare"],
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that only we may read, at once."""
    partial = path.with_name(f".{path.name}.partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
