"""The one place, besides the command line, that reads the environment.

Every setting is a variable `UNDRIFT_…`. What an installation makes for itself at its first start (its UUID, Flower's
login) lies in its home, for its owner's eyes only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.spec import RepositoryAccess
from workers import variables
from workers.variables import BadSetting, Webhook

LONGEST_LEASE_S = 60.0
SOCKET_NOTE = "valkey.socket"
CONTEXTS = "contexts"
"""Where below the kubeconfigs those of `up --context` lie."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process was set up."""

    home: Path
    """The state folder of a local installation, mode 0700 (`UNDRIFT_HOME`)."""
    redis_url: str
    """`UNDRIFT_REDIS_URL`; by default the Valkey that `undrift up` runs in `home`."""
    fleet: str
    """A folder or a Git URL (`UNDRIFT_FLEET`); empty when none is set."""
    credentials: Path | None
    """The one folder below which credential files may lie (`UNDRIFT_CREDENTIALS`)."""
    cache: Path
    """Downloaded and built programs (`UNDRIFT_CACHE`)."""
    lease_s: float
    """How long a lease lasts without being extended, at most 60 s (`UNDRIFT_LEASE`)."""
    concurrency: int
    """Children of a worker process (`UNDRIFT_CONCURRENCY`)."""
    syncs_per_cluster: int
    """How many syncs of one cluster run or wait in the broker at once, over all workers (`UNDRIFT_SYNCS_PER_CLUSTER`)."""
    fleet_poll_s: float
    """How often the fleet is looked at (`UNDRIFT_FLEET_POLL`)."""
    flower_actions: bool
    """Whether Flower may start tasks (`UNDRIFT_FLOWER_ACTIONS=1`)."""
    flower_port: int
    """Flower's port on 127.0.0.1 (`UNDRIFT_FLOWER_PORT`)."""
    memory_per_child_mib: int
    """A child of a worker that holds more than this after a task is replaced (`UNDRIFT_CHILD_MEMORY`, MiB)."""
    dev_clusters: tuple[str, ...]
    """Names of local clusters to add to the fleet (`UNDRIFT_DEV_CLUSTERS`, commas between them)."""
    repository_poll_s: float | None
    """Overrides every repository's `poll` where it is longer (`UNDRIFT_REPOSITORY_POLL`, set by `up`)."""
    scan_every_s: float | None
    """Overrides every cluster's `drift.every` where it is longer (`UNDRIFT_SCAN_EVERY`, set by `up`)."""
    contexts: tuple[str, ...]
    """Clusters of the user's own kubeconfig to add to the fleet (`UNDRIFT_CONTEXTS`, set by `up --context`)."""
    observes: bool
    """Nothing is ever written to any cluster (`UNDRIFT_MODE=Observe`)."""
    metrics: str
    """Where to serve `/metrics`, as `HOST:PORT`; empty for nowhere (`UNDRIFT_METRICS`, or `--metrics`)."""
    journal_repo: RepositoryAccess | None
    """Where the journal is copied to: the URL of a repository of its own (`UNDRIFT_JOURNAL_REPO`), with credentials as a
    Repository has them, in JSON (`UNDRIFT_JOURNAL_CREDENTIALS`, such as `{"token": {"env": "UNDRIFT_CRED_JOURNAL"}}`)."""
    webhook: Webhook | None
    """Who is told (`UNDRIFT_WEBHOOK_URL`, and `UNDRIFT_WEBHOOK_SECRET` as `env:UNDRIFT_CRED_…` or `file:NAME` below the
    credentials' folder); None: nobody, and nothing is kept. The same for schedulers and workers."""
    env: Mapping[str, str]
    """The environment, for credentials that are referenced by name."""

    @property
    def embedded_socket(self) -> Path:
        """Where the path of the embedded Valkey's socket is written down: the socket itself has a short path."""
        return self.home / SOCKET_NOTE

    @property
    def up_note(self) -> Path:
        """Where a running `undrift up` says what it runs."""
        return self.home / "up.json"

    @property
    def kubeconfigs(self) -> Path:
        """Where the kubeconfigs of local clusters lie."""
        return self.home / "dev-clusters"

    def installation(self) -> str:
        """The UUID of this installation, made at its first start and kept in `home`. `UNDRIFT_INSTALLATION` wins.

        Processes on several machines share no home, so there the variable must be set to the same for all of them.
        """
        given = self.env.get("UNDRIFT_INSTALLATION")
        return variables.installation(given) if given else _made_once(self.home / "installation", str(uuid.uuid4()))

    def flower_login(self) -> tuple[str, str]:
        """Flower's user and password, made at the first start and kept in `home`."""
        user, _, password = _made_once(self.login_file, f"undrift:{secrets.token_urlsafe(12)}").partition(":")
        return user, password

    @property
    def login_file(self) -> Path:
        """Where Flower's login lies."""
        return self.home / "flower-login"


def from_env(env: Mapping[str, str], *, makes_home: bool = True) -> Settings:
    """Settings of this process. Makes `home`, unless only what stands there is asked for. Raises BadSetting naming the
    variable."""
    home = Path(env.get("UNDRIFT_HOME") or default_home(env)).expanduser().resolve()
    if makes_home:
        _private(home)
    credentials = env.get("UNDRIFT_CREDENTIALS")
    return Settings(
        home=home,
        redis_url=env.get("UNDRIFT_REDIS_URL") or _embedded_url(home),
        fleet=env.get("UNDRIFT_FLEET", ""),
        credentials=Path(credentials).expanduser() if credentials else None,
        cache=Path(env.get("UNDRIFT_CACHE") or default_cache(env)).expanduser(),
        lease_s=variables.number(env, "UNDRIFT_LEASE", 30.0, most=LONGEST_LEASE_S),
        concurrency=int(variables.number(env, "UNDRIFT_CONCURRENCY", 4, most=64)),
        syncs_per_cluster=int(variables.number(env, "UNDRIFT_SYNCS_PER_CLUSTER", 32, most=1000)),
        fleet_poll_s=variables.number(env, "UNDRIFT_FLEET_POLL", 60.0, most=86400),
        flower_actions=env.get("UNDRIFT_FLOWER_ACTIONS") == "1",
        flower_port=int(variables.number(env, "UNDRIFT_FLOWER_PORT", 5555, most=65535)),
        memory_per_child_mib=int(variables.number(env, "UNDRIFT_CHILD_MEMORY", 400, most=64_000)),
        dev_clusters=tuple(name for name in env.get("UNDRIFT_DEV_CLUSTERS", "").split(",") if name),
        repository_poll_s=variables.number(env, "UNDRIFT_REPOSITORY_POLL", 0, most=86400) or None,
        scan_every_s=variables.number(env, "UNDRIFT_SCAN_EVERY", 0, most=86400) or None,
        contexts=tuple(name for name in env.get("UNDRIFT_CONTEXTS", "").split(",") if name),
        observes=variables.mode(env) == "Observe",
        metrics=variables.address(env),
        journal_repo=variables.journal_repo(env),
        webhook=variables.webhook(env),
        env=env,
    )


def default_home(env: Mapping[str, str]) -> Path:
    """The user's state folder, as the XDG base directory specification has it."""
    return Path(env.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "undrift"


def default_cache(env: Mapping[str, str]) -> Path:
    """The user's cache folder."""
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undrift"


def _embedded_url(home: Path) -> str:
    """The URL of the Valkey that `undrift up` of this home runs, or of the default port when none does."""
    noted = home / SOCKET_NOTE
    return f"unix://{noted.read_text().strip()}" if noted.is_file() else "redis://127.0.0.1:6379/0"


def _private(home: Path) -> None:
    """Make the home when it is missing, and close it to others when it is our own."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = home.stat()
        # A folder that is shared on purpose, like /tmp with its sticky bit, or somebody else's, stays as it is.
        is_ours = found.st_uid == os.getuid() and not found.st_mode & stat.S_ISVTX
        if is_ours and stat.S_IMODE(found.st_mode) & 0o077:
            home.chmod(0o700)
    except OSError as error:
        raise BadSetting(f"UNDRIFT_HOME={home}: {error.strerror}", subject="UNDRIFT_HOME") from error


def _made_once(file: Path, text: str) -> str:
    """What the file holds; the text when it was not there. Of several processes that make it at once, one wins."""
    if not file.exists():
        descriptor, fresh = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as output:
                output.write(text + "\n")
            # A link appears whole or not at all, and never over another one.
            with contextlib.suppress(FileExistsError):
                os.link(fresh, file)
        finally:
            os.unlink(fresh)
    return file.read_text().strip()


__all__ = ["BadSetting", "Settings", "Webhook", "default_cache", "default_home", "from_env"]
