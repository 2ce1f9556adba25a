"""The command lines of a cluster's programs, and the files that they read.

etcd and its peer port are Unix sockets in the cluster's private folder (named relative to it, since a socket's path ends
at 108 bytes), so nobody else on the machine reaches the store. The API server's port is held by the supervisor with
SO_REUSEPORT while the server binds it too: no other process can be given it in between. Fsync is off: the data is
temporary. The API server makes its own serving certificate, whose key also signs service account tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.devcluster.binaries import Binaries

__all__ = ["POWERLESS", "Layout", "Order", "Program", "Tokens", "controllers", "servers", "write_inputs"]

POWERLESS = "powerless"
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True)
class Order:
    """What to start. `parent` is the process to end with, 0 for none; `ready_fd` and `lock_fd` are inherited."""

    name: str
    folder: str
    binaries: dict[str, str]
    bare: bool
    audit: bool
    parent: int
    ready_fd: int
    lock_fd: int


@dataclass(frozen=True, slots=True)
class Program:
    """One program to run in the cluster's folder."""

    name: str
    argv: Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Bearer tokens: of an admin, and of a user who may do nothing until a test binds a role to `powerless`."""

    admin: str
    powerless: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a cluster's files are."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "certs" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def stages(self) -> Path:
        return self.folder / "stages.yaml"

    def log(self, program: str) -> Path:
        """What a program wrote to stdout and stderr."""
        return self.folder / f"{program}.log"


def write_inputs(layout: Layout, tokens: Tokens) -> None:
    """The files that the API server reads at its start."""
    # token, user, uid, groups: the API server's static token file
    (layout.folder / "tokens.csv").write_text(
        f'{tokens.admin},dev-cluster-admin,dev-cluster-admin,"system:masters"\n'
        f"{tokens.powerless},{POWERLESS},{POWERLESS}\n"
    )
    (layout.folder / "audit-policy.yaml").write_text(json.dumps(_AUDIT_POLICY))


def servers(binaries: Binaries, port: int, *, audit: bool) -> list[Program]:
    """etcd and the API server, in the order in which they start."""
    return [_etcd(binaries), _api_server(binaries, port, audit=audit)]


def controllers(binaries: Binaries, layout: Layout) -> list[Program]:
    """What makes Deployments ready: controllers, scheduler, and KWOK for Nodes and Pods."""
    kubeconfig = f"--kubeconfig={layout.kubeconfig}"
    return [
        Program(
            "kube-controller-manager",
            [
                binaries["kube-controller-manager"],
                kubeconfig,
                "--controllers=*",
                "--use-service-account-credentials=false",
                "--service-account-private-key-file=certs/apiserver.key",
                "--root-ca-file=certs/apiserver.crt",
                "--leader-elect=false",
                "--secure-port=0",
                "--profiling=false",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
            ],
        ),
        Program(
            "kube-scheduler",
            [binaries["kube-scheduler"], kubeconfig, "--leader-elect=false", "--secure-port=0", "--profiling=false"],
        ),
        Program(
            "kwok",
            [
                binaries["kwok"],
                kubeconfig,
                f"--config={layout.stages}",
                "--manage-all-nodes",
                "--node-ip=127.0.0.1",
                "--node-lease-duration-seconds=40",
            ],
        ),
    ]


def _etcd(binaries: Binaries) -> Program:
    client, peer = "unix://etcd.sock", "unix://peer.sock"
    return Program(
        "etcd",
        [
            binaries["etcd"],
            "--data-dir=etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
    )


def _api_server(binaries: Binaries, port: int, *, audit: bool) -> Program:
    audit_options = ["--audit-policy-file=audit-policy.yaml", "--audit-log-path=audit.log", "--audit-log-maxsize=1024"]
    return Program(
        "kube-apiserver",
        [
            binaries["kube-apiserver"],
            "--etcd-servers=unix:etcd.sock",
            f"--secure-port={port}",
            "--permit-port-sharing=true",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--cert-dir=certs",
            "--service-account-issuer=https://localhost",
            "--service-account-key-file=certs/apiserver.key",
            "--service-account-signing-key-file=certs/apiserver.key",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC",
            # Pods need no service account token here, and a bare cluster has no controller to make the accounts.
            "--disable-admission-plugins=ServiceAccount",
            "--allow-privileged=true",
            "--profiling=false",
            *(audit_options if audit else []),
        ],
    )
