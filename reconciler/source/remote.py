"""Reaches one repository: the dulwich client for its URL, with the credentials of now, and what its refusals mean.

HTTP follows no redirect to another host, so that credentials never reach one they were not given for. SSH goes by the
`ssh` program (dulwich's own way), with the key and the known hosts in a private folder for the time of the connection;
an unknown or changed host key is always refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import urllib3
from dulwich.client import (
    GitClient,
    HTTPUnauthorized,
    LocalGitClient,
    SSHGitClient,
    StrangeHostname,
    Urllib3HttpGitClient,
)
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.object_store import GraphTraversalReachability
from dulwich.repo import Repo

from reconciler.credentials import Credentials, require_line
from reconciler.errors import GitBusy, GitDenied, GitUnreachable, SourceError
from reconciler.model.spec import RepositoryAccess

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 30.0
MOST_REDIRECTS = 5
LONGEST_BUSY_S = 3600.0
_SCP_LIKE = re.compile(r"^(?:(?P<user>[^@/]+)@)?(?P<host>[^:/]+):(?P<path>(?!//).+)$")
_DENIED_BY_SSH = ("Permission denied", "Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED")


@dataclass(frozen=True, slots=True)
class Remote:
    """A client, and the path of the repository as it wants it."""

    client: GitClient
    path: str
    url: str


def shown(url: str) -> str:
    """The URL without credentials in it. The user of an ssh URL stays: it is part of the address."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    if not at or (parts.scheme == "ssh" and ":" not in user):
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def folder_of(access: RepositoryAccess) -> Path | None:
    """Where a repository on this disk lies, with every link followed; None for one on a host."""
    parts = urlsplit(access.url)
    return Path(unquote(parts.path)).resolve() if parts.scheme == "file" else None


@contextlib.contextmanager
def opened(access: RepositoryAccess, credentials: Credentials) -> Iterator[Remote]:
    """The repository's remote. Errors inside become GitUnreachable or GitDenied, naming the host."""
    url = shown(access.url)
    with contextlib.ExitStack() as cleanup:
        try:
            yield _remote(access, credentials, cleanup)
        except SourceError:
            raise
        except StrangeHostname as error:
            raise GitUnreachable(f"{url}: a host or user does not begin with `-`", subject=url) from error
        except HTTPUnauthorized as error:
            raise GitDenied(f"{url}: the Git host wants other credentials (401)", subject=url) from error
        except NotGitRepository as error:
            raise GitDenied(
                f"{url}: no such repository, or our credentials may not see it (404)", subject=url
            ) from error
        except (HangupException, GitProtocolError) as error:
            raise _protocol_error(url, error) from error
        except (ValueError, AssertionError) as error:
            # Of answers that are no Git at all, by dulwich; of a header that can't be sent, by http.client, whose words
            # hold the header. So none of them are passed on.
            raise GitUnreachable(
                f"{url}: the Git host did not answer as Git does ({type(error).__name__})", subject=url
            ) from error
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise GitUnreachable(f"{url}: the Git host can't be reached: {_plain(error)}", subject=url) from error


def _remote(access: RepositoryAccess, credentials: Credentials, cleanup: contextlib.ExitStack) -> Remote:
    url = access.url
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Remote(_FolderClient(), unquote(parts.path), url)
    if parts.scheme in ("http", "https"):
        return _http(access, credentials, cleanup)
    if parts.scheme in ("ssh", "git+ssh"):
        user, host, port = parts.username, parts.hostname or "", parts.port
        return _ssh(access, credentials, cleanup, user=user, host=host, port=port, path=parts.path)
    if match := _SCP_LIKE.match(url):
        found = match.groupdict()
        return _ssh(access, credentials, cleanup, user=found["user"], host=found["host"], port=None, path=found["path"])
    raise GitUnreachable(f"{shown(url)}: expected an https, http, ssh or file URL", subject=shown(url))


class _FolderClient(LocalGitClient):
    """Reads a repository on disk without its bitmaps.

    `git gc` writes a bitmap for one pack and the next push adds a pack without; dulwich 1.2.21 then looks for the second
    bitmap and fails, so such a repository could not be fetched until the next gc.
    """

    @classmethod
    def _open_repo(cls, path: str | bytes) -> contextlib.closing[Repo]:
        repo = Repo(os.fsdecode(path))
        walk = GraphTraversalReachability(repo.object_store)
        # Replaced on this one store: dulwich offers no setting for it.
        repo.object_store.get_reachability_provider = lambda *_, **__: walk  # type: ignore[method-assign]
        return contextlib.closing(repo)


def _http(access: RepositoryAccess, credentials: Credentials, cleanup: contextlib.ExitStack) -> Remote:
    given = access.credentials
    context = ssl.create_default_context()
    if given.ca is not None:
        context.load_verify_locations(cadata=credentials.text(given.ca))
    headers = {"User-Agent": "git/undrift"}
    pool = _SameHostPool(
        ssl_context=context,
        headers=headers,
        retries=False,
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
    )
    cleanup.callback(pool.clear)
    parts = urlsplit(access.url)
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
    options: dict[str, Any] = {"pool_manager": pool}
    if given.token is not None and given.username is None:
        headers["Authorization"] = f"Bearer {credentials.line(given.token)}"
    elif given.username is not None:
        require_line(given.username, "username")
        secret = given.token or given.password
        options |= {"username": given.username, "password": credentials.line(secret) if secret else ""}
    elif parts.username:
        options |= {"username": parts.username, "password": parts.password or ""}
    return Remote(Urllib3HttpGitClient(base, **options), parts.path, access.url)


class _SameHostPool(urllib3.PoolManager):
    """Follows redirects on one host only."""

    # The base class declares its options one by one; all of them are handed on.
    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> Any:  # type: ignore[override]
        origin = urlsplit(url)
        for _ in range(MOST_REDIRECTS):
            response = super().urlopen(method, url, redirect=False, **options)
            if response.status in (429, 503):
                response.drain_conn()
                raise _busy(url, response.status, response.headers.get("Retry-After", ""))
            target = response.get_redirect_location() if redirect else None
            if not target:
                if response.status >= 400:
                    response.drain_conn()  # dulwich raises without reading it, and would leave the connection open
                return response
            target = urljoin(url, target)
            if urlsplit(target).netloc != origin.netloc or urlsplit(target).scheme != origin.scheme:
                host = urlsplit(target).netloc
                raise GitDenied(f"{shown(url)}: redirects to another host ({host}), which is not followed", subject=url)
            url = target
        raise GitUnreachable(f"{shown(url)}: redirects in circles", subject=url)


def _busy(url: str, status: int, after: str) -> GitBusy:
    """Retry-After in seconds; a date there, or nothing, counts as a minute."""
    wait_s = min(max(float(after), 1.0), LONGEST_BUSY_S) if after.isdigit() else 60.0
    host = urlsplit(url).netloc
    return GitBusy(
        f"{host}: the Git host asks us to come back in {wait_s:.0f} s ({status})", subject=host, retry=wait_s
    )


def _ssh(
    access: RepositoryAccess,
    credentials: Credentials,
    cleanup: contextlib.ExitStack,
    *,
    user: str | None,
    host: str,
    port: int | None,
    path: str,
) -> Remote:
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="undrift-ssh-")))
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={int(CONNECT_TIMEOUT_S)}"]
    given = access.credentials
    if given.ssh_key is not None:
        key = _written(folder / "key", credentials.text(given.ssh_key) + "\n")
        options += ["IdentitiesOnly=yes", f"IdentityFile={key}", "IdentityAgent=none"]
    if given.known_hosts is not None:
        known = _written(folder / "known_hosts", credentials.text(given.known_hosts) + "\n")
        options += [f"UserKnownHostsFile={known}", "GlobalKnownHostsFile=/dev/null"]
    require_line(given.username or "none", "username")
    command = shlex.join(["ssh", *(part for option in options for part in ("-o", option))])
    client = SSHGitClient(host, port=port, username=user or given.username, ssh_command=command)
    return Remote(client, path, access.url)


def _written(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _protocol_error(url: str, error: Exception) -> SourceError:
    words = _plain(error)
    if any(sign in words for sign in _DENIED_BY_SSH):
        what = (
            "its host key is not the known one"
            if "ost key" in words or "IDENTIFICATION" in words
            else "our key is refused"
        )
        return GitDenied(f"{url}: {what}: {words}", subject=url)
    if re.search(r"http resp (401|403)", words):
        return GitDenied(f"{url}: the Git host refuses our credentials: {words}", subject=url)
    return GitUnreachable(f"{url}: the Git host did not answer as Git does: {words}", subject=url)


def _plain(error: BaseException) -> str:
    """An error's words on one line; HangupException keeps what ssh printed in `stderr_lines`."""
    lines = getattr(error, "stderr_lines", None)
    text = " ".join(line.decode(errors="replace").strip() for line in lines) if lines else str(error)
    return shown(" ".join(text.split()))[:500] or type(error).__name__
