"""Memory of a process that fetches a repository of large files: it must not hold what it fetches.

The files are random, so the pack is as large as they are. The fetching process is one of its own, run by this module's
`main`; the server is in ours. What a mapped file fills of the page cache counts as resident, and is given back whenever
memory is asked for, so anonymous memory is told apart.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
from dulwich.refs import Ref as RefName

from benchmarks.site import Site
from reconciler.credentials import Credentials
from reconciler.model.spec import RepositoryAccess
from reconciler.source.mirror import Mirror
from reconciler.source.remote import connected
from reconciler.testing.git import Repo

FILE_MB = 16
QUICK_MB, USUAL_MB, FULL_MB = 32, 256, 1024


def run(site: Site, *, quick: bool, full: bool = False) -> dict[str, Any]:
    """Megabytes of the pack, and of the process that fetched it at its peak, beside one that fetched a small file."""
    megabytes = FULL_MB if full else QUICK_MB if quick else USUAL_MB
    small = Repo(site.folder / "git" / "small.git")
    small.commit({"a.yaml": "one"})
    fill(site.repo, megabytes)
    return {
        "small": fetched(site.server.url("small.git"), site.folder / "small"),
        "large": fetched(site.server.url("apps.git"), site.folder / "large"),
    }


def fill(repo: Repo, megabytes: int) -> None:
    """Commit random files, one after the other: this process holds one at a time."""
    for number in range(max(megabytes // FILE_MB, 1)):
        repo.commit({f"{number}.bin": random.Random(number).randbytes(FILE_MB * 1024 * 1024)})


def fetched(url: str, home: Path) -> dict[str, Any]:
    """Fetch a repository in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mirror", url, str(home)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


def main() -> None:
    url, home = sys.argv[1], Path(sys.argv[2])
    access = RepositoryAccess(url=url)
    anonymous = _Peak()
    anonymous.start()
    began = time.monotonic()
    # As the source room does it, but for as long as it takes: the server, in Python, shares our cores.
    with connected(access, Credentials({}, None)) as remote, remote.exchange.within(3600):
        commit = remote.client.get_refs(remote.path.encode()).refs[RefName(b"refs/heads/main")]
        Mirror(home / "apps.git").fetch(remote, [(commit or b"").decode()], access.limits)
    seconds = time.monotonic() - began
    packs = [one.stat().st_size for one in home.rglob("*.pack")]
    found = {
        "packMB": round(sum(packs) / 1e6, 1),
        "seconds": round(seconds, 1),
        # Not getrusage's, which begins with what the process that started us had.
        "peakMB": round(_status("VmHWM") / 1e6, 1),
        "peakAnonymousMB": round(anonymous.bytes / 1e6, 1),
    }
    sys.stdout.buffer.write(orjson.dumps(found))


class _Peak(threading.Thread):
    """The most anonymous memory of this process, looked at every 20 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0

    def run(self) -> None:
        while True:
            self.bytes = max(self.bytes, _status("RssAnon"))
            time.sleep(0.02)


def _status(name: str) -> int:
    """A size of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
