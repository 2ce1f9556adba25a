"""Official downloads: the envtest archive (kube-apiserver, etcd), Kubernetes release binaries, KWOK's release assets.

A published checksum is required and compared; KWOK publishes none, so its length and the host's certificate must do,
and the progress line says so. A source that does not answer within the connect time-out is not asked again in this run,
and one line says that a build follows. Nothing lands in the cache from here: a finished, checked file in a private
folder is handed back.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import urllib3
from urllib3.util import Retry, Timeout

from reconciler.devcluster.versions import ENVTEST, KUBERNETES, KWOK, Platform, Tool

__all__ = ["Downloads", "Sources"]

Progress = Callable[[str], None]
_CHUNK_BYTES = 1 << 20
_INDEX_BYTES = 4 << 20
_ALGORITHMS = {64: "sha256", 128: "sha512"}


@dataclass(frozen=True, slots=True)
class Sources:
    """Base addresses of the official downloads; a test or a mirror names its own."""

    envtest: str = "https://github.com/kubernetes-sigs/controller-tools/releases/download"
    envtest_index: str = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml"
    kubernetes: str = "https://dl.k8s.io/release"
    kwok: str = "https://github.com/kubernetes-sigs/kwok/releases/download"
    connect_timeout_s: float = 3.0
    read_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Asset:
    """One file to download, where its checksum is published, and the member to take when it is an archive."""

    url: str
    sum_url: str | None
    member: str | None = None

    @property
    def file(self) -> str:
        return self.url.rsplit("/", 1)[1]


class Refused(Exception):
    """This asset can't be had; the text says why in a few words."""


class Downloads:
    """Fetches tools from their sources, each source tried until it first fails to answer."""

    def __init__(self, sources: Sources, platform: Platform, env: Mapping[str, str], progress: Progress) -> None:
        self._sources, self._platform, self._progress = sources, platform, progress
        self._unreachable: set[str] = set()
        self._archives: dict[str, Path] = {}
        self._http = _client(sources, env)

    def __enter__(self) -> Downloads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.clear()

    def fetch(self, tool: Tool, folder: Path) -> Path | None:
        """The checked program in `folder`, or None after one line of progress said why not."""
        asset = self._asset(tool)
        if asset is None:
            return None
        host = urlsplit(asset.url).netloc
        if host in self._unreachable:
            return None
        try:
            return self._fetch(tool, asset, folder)
        except Refused as refused:
            self._progress(f"{tool.name}: {refused}; falling back to building it")
        except urllib3.exceptions.HTTPError as error:
            self._unreachable.add(host)
            self._progress(f"{tool.name}: no download from {host} ({_why(error)}); falling back to building")
        return None

    def _asset(self, tool: Tool) -> Asset | None:
        system, sources = self._platform, self._sources
        if tool.bare:
            url = f"{sources.envtest}/envtest-v{ENVTEST}/envtest-v{ENVTEST}-{system}.tar.gz"
            return Asset(url, sources.envtest_index, tool.name)
        if tool.name == "kwok":
            return Asset(f"{sources.kwok}/v{KWOK}/kwok-{system}", None)
        if system.os != "linux":
            return None  # Kubernetes publishes its servers for Linux only.
        url = f"{sources.kubernetes}/v{KUBERNETES}/bin/{system.os}/{system.arch}/{tool.name}"
        return Asset(url, f"{url}.sha256")

    def _fetch(self, tool: Tool, asset: Asset, folder: Path) -> Path:
        whole = self._archives.get(asset.url)
        if whole is None:
            whole = folder / asset.file
            self._checked(asset, whole)
            self._archives[asset.url] = whole
        return whole if asset.member is None else _extracted(whole, asset.member, folder)

    def _checked(self, asset: Asset, target: Path) -> None:
        expected = self._checksum(asset, asset.sum_url) if asset.sum_url else None
        self._progress(f"downloading {asset.url}" + ("" if expected else " (no checksum is published for it)"))
        found = hashlib.new(_ALGORITHMS[len(expected)] if expected else "sha256")
        # A body shorter than its Content-Length raises: a cut-off download is never taken for whole.
        with self._open(asset.url) as response, target.open("wb") as file:
            for chunk in response.stream(_CHUNK_BYTES):
                found.update(chunk)
                file.write(chunk)
        if expected and found.hexdigest() != expected:
            target.unlink()
            raise Refused(f"{asset.url} does not have its published checksum")

    def _checksum(self, asset: Asset, sum_url: str) -> str:
        """The published checksum: alone in a file, or beside the asset's name in envtest's index (YAML)."""
        with self._open(sum_url) as response:
            words = response.read(_INDEX_BYTES).decode("ascii", "replace").split()
        if f"{asset.file}:" in words:
            words = words[words.index(f"{asset.file}:") :]
            words = words[words.index("hash:") + 1 :] if "hash:" in words else []
        if not words or len(words[0]) not in _ALGORITHMS:
            raise Refused(f"{sum_url} holds no checksum of {asset.file}")
        return words[0].lower()

    def _open(self, url: str) -> urllib3.BaseHTTPResponse:
        response = self._http.request("GET", url, preload_content=False)
        if response.status != 200:
            response.close()
            raise Refused(f"{url} answered {response.status}")
        return response


def _client(sources: Sources, env: Mapping[str, str]) -> urllib3.PoolManager:
    options = {
        "timeout": Timeout(connect=sources.connect_timeout_s, read=sources.read_timeout_s),
        "retries": Retry(total=None, connect=0, read=0, other=0, status=0, redirect=5),
    }
    proxy = env.get("HTTPS_PROXY") or env.get("https_proxy")
    if proxy and sources.kubernetes.startswith("https:"):
        return urllib3.ProxyManager(proxy, **options)  # type: ignore[arg-type]  # one mapping for two constructors
    return urllib3.PoolManager(**options)  # type: ignore[arg-type]  # the same


def _extracted(archive: Path, member: str, folder: Path) -> Path:
    """One program out of an archive, found by its last path segment, written under our own name."""
    with tarfile.open(archive) as content:
        for entry in content:
            if entry.isfile() and entry.name.rsplit("/", 1)[-1] == member:
                source = content.extractfile(entry)
                assert source is not None
                target = folder / f"{member}.extracted"
                with source, target.open("wb") as file:
                    while chunk := source.read(_CHUNK_BYTES):
                        file.write(chunk)
                return target
    raise Refused(f"{archive.name} holds no {member}")


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return type(reason).__name__
