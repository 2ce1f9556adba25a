"""What a dev cluster is made of, at which versions, and for which machine.

The versions are pinned together: the go.mod and go.sum files in `modules/` build exactly these, and downloads ask for
the same ones. The envtest archive is published per minor version only, hence its own number.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Final

from reconciler.devcluster.errors import BinariesMissing

__all__ = ["ENVTEST", "ETCD", "GO_MINIMUM", "KUBERNETES", "KWOK", "TOOLS", "Platform", "Tool"]

KUBERNETES: Final = "1.37.2"
ENVTEST: Final = "1.37.0"
ETCD: Final = "3.7.3"
KWOK: Final = "0.8.0"
GO_MINIMUM: Final = (1, 26)

_ARCHITECTURES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_KUBERNETES_STAMP: Final = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}"
    for name, value in (
        ("gitVersion", f"v{KUBERNETES}"),
        ("gitMajor", KUBERNETES.split(".")[0]),
        ("gitMinor", KUBERNETES.split(".")[1]),
        ("gitTreeState", "clean"),
    )
)


@dataclass(frozen=True, slots=True)
class Tool:
    """One program: its Go package, the wrapper module in `modules/` that pins it, and whether `--bare` needs it."""

    name: str
    version: str
    module: str
    package: str
    bare: bool = False
    link_flags: str = "-s -w"


# Without the stamp the API server reports v0.0.0-master, which breaks every chart that checks kubeVersion.
_STAMPED: Final = f"-s -w {_KUBERNETES_STAMP}"

TOOLS: Final[tuple[Tool, ...]] = (
    Tool("etcd", ETCD, "etcd", "go.etcd.io/etcd/server/v3", bare=True),
    Tool(
        "kube-apiserver",
        KUBERNETES,
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        bare=True,
        link_flags=_STAMPED,
    ),
    Tool(
        "kube-controller-manager",
        KUBERNETES,
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        link_flags=_STAMPED,
    ),
    Tool("kube-scheduler", KUBERNETES, "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", link_flags=_STAMPED),
    Tool("kwok", KWOK, "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
)


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and processor, in Go's names."""

    os: str
    arch: str

    @classmethod
    def here(cls) -> Platform:
        """This machine. Raises BinariesMissing where Kubernetes publishes and builds nothing."""
        system, machine = platform.system().lower(), platform.machine().lower()
        if system not in ("linux", "darwin") or machine not in _ARCHITECTURES:
            raise BinariesMissing(
                f"dev clusters run on Linux and macOS, amd64 and arm64; this is {system} {machine}. "
                "Set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd, or use a cluster that you have"
            )
        return cls(system, _ARCHITECTURES[machine])

    def __str__(self) -> str:
        return f"{self.os}-{self.arch}"
