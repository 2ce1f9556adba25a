"""Where the programs of dev clusters come from: assets, cache, downloads from a local server, and the words for none."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reconciler.devcluster import binaries
from reconciler.devcluster.download import Sources
from reconciler.devcluster.errors import BinariesMissing
from reconciler.devcluster.versions import ENVTEST, Platform

LINUX = Platform("linux", "amd64")
NO_GO = {"PATH": "/nonexistent"}
ARCHIVE = f"envtest-v{ENVTEST}-{LINUX}.tar.gz"


class Shop:
    """Serves files by their last path segment; `cut` sends half of the archive and hangs up."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut = False
        self.served: list[str] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                body = shop.files.get(name)
                shop.served.append(name)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                half = shop.cut and name == ARCHIVE
                self.wfile.write((body or b"")[: len(body or b"") // 2 if half else None])

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def sources(self) -> Sources:
        base = f"http://127.0.0.1:{self.server.server_port}"
        return Sources(base, f"{base}/envtest-releases.yaml", base, base)

    def stock(self, *, wrong_sum: bool = False) -> None:
        """The envtest archive and its index."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name in ("etcd", "kube-apiserver"):
                content = f"program {name}".encode() * 1000
                entry = tarfile.TarInfo(f"controller-tools/envtest/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        self.files[ARCHIVE] = buffer.getvalue()
        digest = "0" * 128 if wrong_sum else hashlib.sha512(buffer.getvalue()).hexdigest()
        self.files["envtest-releases.yaml"] = (
            f"releases:\n  v{ENVTEST}:\n    {ARCHIVE}:\n      hash: {digest}\n".encode()
        )


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join(5)


def find(cache: Path, shop: Shop, lines: list[str] | None = None) -> binaries.Binaries:
    progress = lines.append if lines is not None else binaries.silent
    return binaries.find(cache, NO_GO, bare=True, progress=progress, sources=shop.sources, platform=LINUX)


def test_programs_are_downloaded_checked_and_kept(tmp_path: Path, shop: Shop) -> None:
    shop.stock()

    found = find(tmp_path, shop)
    again = find(tmp_path, shop)

    assert found["etcd"].read_bytes() == b"program etcd" * 1000
    assert again.paths == found.paths
    assert shop.served.count(ARCHIVE) == 1


def test_a_wrong_checksum_is_refused_and_leaves_nothing(tmp_path: Path, shop: Shop) -> None:
    shop.stock(wrong_sum=True)
    lines: list[str] = []

    with pytest.raises(BinariesMissing):
        find(tmp_path, shop, lines)

    assert any("does not have its published checksum" in line for line in lines)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_a_cut_off_download_is_never_taken_for_whole(tmp_path: Path, shop: Shop) -> None:
    shop.stock()
    shop.cut = True

    with pytest.raises(BinariesMissing):
        find(tmp_path, shop)

    shop.cut = False
    assert find(tmp_path, shop)["kube-apiserver"].stat().st_size == len(b"program kube-apiserver") * 1000


def test_two_that_start_at_once_download_once(tmp_path: Path, shop: Shop) -> None:
    shop.stock()

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: find(tmp_path, shop), range(2)))

    assert found[0].paths == found[1].paths
    assert shop.served.count(ARCHIVE) == 1


def test_kubebuilder_assets_come_first(tmp_path: Path, shop: Shop) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver"):
        (assets / name).write_text("#!/bin/sh\n")
        (assets / name).chmod(0o755)

    env = {**NO_GO, "KUBEBUILDER_ASSETS": str(assets)}
    found = binaries.find(tmp_path / "cache", env, bare=True, sources=shop.sources, platform=LINUX)

    assert found["etcd"] == assets / "etcd"
    assert shop.served == []


def test_without_any_way_the_error_names_each(tmp_path: Path, shop: Shop) -> None:
    with pytest.raises(BinariesMissing) as missing:
        find(tmp_path, shop)

    for way in ("KUBEBUILDER_ASSETS", "Go"):
        assert way in str(missing.value)
