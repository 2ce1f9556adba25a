"""The one place, besides the command line, that reads the environment."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import UndriftError

LONGEST_LEASE_S = 60.0


class BadSetting(UndriftError):
    """A setting can't be used."""

    stage = "settings"


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
    fleet_poll_s: float
    """How often the fleet is looked at (`UNDRIFT_FLEET_POLL`)."""
    flower_actions: bool
    """Whether Flower may start tasks (`UNDRIFT_FLOWER_ACTIONS=1`)."""
    flower_port: int
    """Flower's port on 127.0.0.1 (`UNDRIFT_FLOWER_PORT`)."""
    dev_clusters: tuple[str, ...]
    """Names of local clusters to add to the fleet (`UNDRIFT_DEV_CLUSTERS`, commas between them)."""
    repository_poll_s: float | None
    """Overrides every repository's `poll` where it is longer (`UNDRIFT_REPOSITORY_POLL`, set by `up`)."""
    env: Mapping[str, str]
    """The environment, for credentials that are referenced by name."""

    @property
    def embedded_socket(self) -> Path:
        """Where the path of the embedded Valkey's socket is written down: the socket itself has a short path."""
        return self.home / "valkey.socket"

    @property
    def kubeconfigs(self) -> Path:
        """Where the kubeconfigs of local clusters lie."""
        return self.home / "dev-clusters"

    def installation(self) -> str:
        """The UUID of this installation, made at its first start and kept in `home`. `UNDRIFT_INSTALLATION` wins."""
        given = self.env.get("UNDRIFT_INSTALLATION")
        if given:
            return given
        file = self.home / "installation"
        try:
            with file.open("x") as fresh:
                fresh.write(str(uuid.uuid4()))
        except FileExistsError:
            pass  # made before, which is the rule
        return file.read_text().strip()


def from_env(env: Mapping[str, str]) -> Settings:
    """Settings of this process. Makes `home`. Raises BadSetting naming the variable."""
    home = Path(env.get("UNDRIFT_HOME") or default_home(env)).expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    credentials = env.get("UNDRIFT_CREDENTIALS")
    return Settings(
        home=home,
        redis_url=env.get("UNDRIFT_REDIS_URL") or _embedded_url(home),
        fleet=env.get("UNDRIFT_FLEET", ""),
        credentials=Path(credentials).expanduser() if credentials else None,
        cache=Path(env.get("UNDRIFT_CACHE") or default_cache(env)).expanduser(),
        lease_s=_number(env, "UNDRIFT_LEASE", 30.0, most=LONGEST_LEASE_S),
        concurrency=int(_number(env, "UNDRIFT_CONCURRENCY", 4, most=64)),
        fleet_poll_s=_number(env, "UNDRIFT_FLEET_POLL", 60.0, most=86400),
        flower_actions=env.get("UNDRIFT_FLOWER_ACTIONS") == "1",
        flower_port=int(_number(env, "UNDRIFT_FLOWER_PORT", 5555, most=65535)),
        dev_clusters=tuple(name for name in env.get("UNDRIFT_DEV_CLUSTERS", "").split(",") if name),
        repository_poll_s=_number(env, "UNDRIFT_REPOSITORY_POLL", 0, most=86400) or None,
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
    noted = home / "valkey.socket"
    return f"unix://{noted.read_text().strip()}" if noted.is_file() else "redis://127.0.0.1:6379/0"


def _number(env: Mapping[str, str], name: str, default: float, *, most: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text.removesuffix("s"))
    except ValueError as error:
        raise BadSetting(f"{name}={text!r}: expected a number", subject=name) from error
    if not 0 < value <= most:
        raise BadSetting(f"{name}={text!r}: expected more than 0 and at most {most:g}", subject=name)
    return value
