"""Opens connections to clusters and keeps them.

A cluster's way in (`ClusterAccess`) is read by the `kubernetes` package's own loaders, so that exec plugins, client
certificates and rotating tokens work as they do for kubectl; its typed models and its client are not used. One pool of
keep-alive connections and one discovery are kept per cluster, for as long as its way in stays the same; the least
recently used are closed when there are many.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import urllib3
import yaml

from reconciler.clock import Clock
from reconciler.cluster.client import Client
from reconciler.cluster.deadline import cuttable
from reconciler.cluster.discovery import DiscoveryCache
from reconciler.credentials import CredentialMissing, Credentials
from reconciler.errors import Unreachable
from reconciler.model.spec import LOCAL, ClusterTarget
from reconciler.ports import Guard

MOST_CLUSTERS = 64
POOL_SIZE = 16
PRODUCT = "undrift/0.1"


@dataclass
class Connection:
    """One cluster's pool, how it authenticates, and what is cached of it."""

    server: str
    pool: urllib3.PoolManager
    authorization: Callable[[], str | None]
    way_in: str
    clock: Clock
    discovery: DiscoveryCache = field(default_factory=DiscoveryCache)
    namespaces_made: set[str] = field(default_factory=set)
    """Namespaces that this process has seen or made, so that no request asks again."""
    identity: str | None = None
    """The uid of the cluster's `kube-system` namespace, once it was asked for; empty when we may not read it."""
    identified_s: float = 0.0
    """When that was, on the boot clock."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while `authorization` is asked: renewing a token changes the loader's state."""
    _heard: tuple[datetime, float] | None = None

    def note_server_time(self, at: datetime) -> None:
        """What the API server's clock says now."""
        self._heard = at, self.clock.boot_s()

    def server_time(self) -> datetime | None:
        """The API server's time, by its last answer and what has passed since; at most a second behind."""
        if self._heard is None:
            return None
        at, boot_s = self._heard
        return at + timedelta(seconds=self.clock.boot_s() - boot_s)


RENEWED = frozenset({"exec", "auth-provider", "tokenFile"})
"""Fields of a kubeconfig's user that make a login which changes."""


class Clusters:
    """The clusters that this process has connected to."""

    def __init__(
        self,
        credentials: Credentials,
        folder: Path | None,
        clock: Clock,
        *,
        is_read_only: bool = False,
        pool_size: int = POOL_SIZE,
    ) -> None:
        """`folder` is where the kubeconfigs of local clusters lie, which no fleet file can name. `is_read_only`
        refuses every write to any cluster. `pool_size` is how many requests of this process a cluster is sent at once."""
        self._pool_size = pool_size
        self._credentials, self._clock, self._is_read_only = credentials, clock, is_read_only
        self._folder = folder
        self._connections: OrderedDict[str, Connection] = OrderedDict()
        self._lock = threading.Lock()

    def api(self, target: ClusterTarget, guard: Guard, *, agent: str) -> Client:
        """The cluster, bound to a guard and a User-Agent. Connects at its first request, not here.

        Raises CredentialMissing, and Unreachable for a kubeconfig that can't be used.
        """
        with self._lock:
            connection = self._connection(target)
        is_read_only = self._is_read_only or target.mode == "Observe"
        return Client(target.name, connection, guard, agent=f"{PRODUCT} ({agent})", is_read_only=is_read_only)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.pool.clear()
        self._connections.clear()

    def _connection(self, target: ClusterTarget) -> Connection:
        text = self._kubeconfig(target)
        way_in = hashlib.sha256((text + (_context(target) or "")).encode()).hexdigest()
        known = self._connections.get(target.name)
        if known is not None and known.way_in == way_in:
            self._connections.move_to_end(target.name)
            return known
        self._connections[target.name] = opened = _open(target, text, way_in, self._clock, self._pool_size)
        if len(self._connections) > MOST_CLUSTERS:
            _, oldest = self._connections.popitem(last=False)
            oldest.pool.clear()
        return opened

    def _kubeconfig(self, target: ClusterTarget) -> str:
        ref = target.access.kubeconfig
        if ref is None:
            return ""
        if ref.file is not None and ref.file.startswith(LOCAL):
            return self._local(target.name, ref.file.removeprefix(LOCAL))
        try:
            return self._credentials.read(ref).decode()
        except CredentialMissing as error:
            raise CredentialMissing(
                f"cluster {target.name}: kubeconfig: {error.message}", subject=target.name
            ) from error

    def _local(self, name: str, file: str) -> str:
        folder = self._folder.resolve() if self._folder else None
        path = (folder / file).resolve() if folder else None
        if folder is None or path is None or not path.is_relative_to(folder) or not path.is_file():
            raise CredentialMissing(f"cluster {name}: the kubeconfig of this local cluster is not here", subject=name)
        return path.read_text()


def _context(target: ClusterTarget) -> str | None:
    return target.access.kubeconfig.context if target.access.kubeconfig else None


def _open(target: ClusterTarget, text: str, way_in: str, clock: Clock, pool_size: int) -> Connection:
    try:
        configuration = _configuration(target, text)
        pool = _pool(configuration, pool_size)
    except yaml.YAMLError as error:  # its text quotes the file, which holds credentials
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        message = f"cluster {target.name}: its kubeconfig is no YAML (line {line})"
        raise Unreachable(message, subject=target.name) from None
    except Exception as error:  # the loader's errors share no base; each means that this kubeconfig can't be used
        kind = type(error).__name__
        message = f"cluster {target.name}: its kubeconfig can't be used: {kind}: {error}"
        raise Unreachable(message, subject=target.name) from error
    finally:
        _forget_files()
    authorization = partial(_authorization, configuration)
    if not _may_change(target, text):
        authorization = cache(authorization)  # type: ignore[assignment]
    return Connection(configuration.host.rstrip("/"), pool, authorization, way_in, clock)


def _may_change(target: ClusterTarget, text: str) -> bool:
    """Whether the login is made anew from time to time: by a program, a provider, or from a file that is rewritten.

    Asking the loader costs as much as a request itself, so a login that stands in the kubeconfig is asked for once.
    """
    if target.access.in_cluster is not None:
        return True
    users = [one.get("user") or {} for one in (yaml.safe_load(text) or {}).get("users") or ()]
    return any(not one.keys().isdisjoint(RENEWED) for one in users)


def _forget_files() -> None:
    """Delete what the loader wrote to disk: client keys, which the TLS context has read by now."""
    from kubernetes.config import kube_config

    kube_config._cleanup_temp_files()


def _configuration(target: ClusterTarget, text: str) -> Any:
    # Imported here since it costs half a second and 36 MB, which `undrift version` need not pay.
    from kubernetes import client, config

    configuration = client.Configuration()
    if target.access.in_cluster is not None:
        config.load_incluster_config(client_configuration=configuration)
    else:
        config.load_kube_config_from_dict(
            yaml.safe_load(text), context=_context(target), client_configuration=configuration
        )
    return configuration


def _authorization(configuration: Any) -> str | None:
    """The Authorization header of now: asking for the key lets the loader renew a token that is about to end."""
    token = configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    found: str | None = token or configuration.get_basic_auth_token()
    # Without a login the package answers an empty one, `Basic Og==`, which an API server would refuse.
    return found if token or configuration.username else None


def _pool(configuration: Any, size: int) -> urllib3.PoolManager:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    options: dict[str, Any] = {
        "num_pools": 2,
        "maxsize": size,
        "block": True,
        "retries": False,
        "ssl_context": context,
    }
    if configuration.tls_server_name:
        options |= {"server_hostname": configuration.tls_server_name, "assert_hostname": configuration.tls_server_name}
    if configuration.proxy:
        return cuttable(urllib3.ProxyManager(configuration.proxy, **options))
    return cuttable(urllib3.PoolManager(**options))
