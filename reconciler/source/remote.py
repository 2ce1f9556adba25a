"""Reaches one repository: the dulwich client for its URL, with the credentials of now, and what its refusals mean.

How each of them is spoken, and kept to its limits, is in `source.http` and `source.ssh`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from dulwich.client import FetchPackResult, GitClient, HTTPUnauthorized, LocalGitClient, StrangeHostname
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.object_store import GraphTraversalReachability
from dulwich.repo import Repo

from reconciler.credentials import CredentialMissing, Credentials, named, require_line
from reconciler.errors import GitDenied, GitUnreachable, SourceError
from reconciler.model.spec import CredentialRef, RepositoryAccess
from reconciler.source.exchange import Exchange
from reconciler.source.http import HostPool, HttpClient
from reconciler.source.ssh import Place, ssh_client

_SCP_LIKE = re.compile(r"(?:(?P<user>[^@/]+)@)?(?P<host>[^:/]+):(?P<path>(?!//).+)")
_CONNECTION = re.compile(r"^<?[\w.]+\(host=[^)]*\)(?: at 0x\w+>)?: ")
"""How urllib3 begins what it says: with the connection that said it."""
_DENIED_BY_SSH = ("Permission denied", "Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED")


@dataclass(frozen=True, slots=True)
class Remote:
    """A client, and the path of the repository as it wants it."""

    client: GitClient
    path: str
    url: str
    exchange: Exchange


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
    with told(access), connected(access, credentials) as found:
        yield found


@contextlib.contextmanager
def connected(access: RepositoryAccess, credentials: Credentials) -> Iterator[Remote]:
    """The repository's remote: what is asked of it in the block, within `told` each, shares a connection."""
    with contextlib.ExitStack() as cleanup:
        with told(access):
            made = _remote(access, credentials, cleanup)
        yield made


@contextlib.contextmanager
def told(access: RepositoryAccess) -> Iterator[None]:
    """What a remote raises, as GitUnreachable or GitDenied that name the host."""
    url = shown(access.url)
    try:
        yield
    except SourceError:
        raise
    except StrangeHostname as error:
        raise GitUnreachable(f"{url}: a host or user does not begin with `-`", subject=url) from error
    except HTTPUnauthorized as error:
        raise GitDenied(f"{url}: the Git host wants other credentials (401)", subject=url) from error
    except NotGitRepository as error:
        raise GitDenied(f"{url}: {_not_there(access)}", subject=url) from error
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


def _not_there(access: RepositoryAccess) -> str:
    folder = folder_of(access)
    if folder is None:
        return "no such repository, or our credentials may not see it (404)"
    return "this folder is no Git repository" if folder.is_dir() else "there is no such folder on this machine"


def _remote(access: RepositoryAccess, credentials: Credentials, cleanup: contextlib.ExitStack) -> Remote:
    url, exchange = access.url, Exchange(shown(access.url))
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Remote(_FolderClient(exchange), unquote(parts.path), url, exchange)
    if parts.scheme in ("http", "https"):
        return _http(access, credentials, exchange, cleanup)
    if parts.scheme in ("ssh", "git+ssh"):
        place = Place(parts.username, parts.hostname or "", parts.port, parts.path)
    elif match := _SCP_LIKE.fullmatch(url):
        place = Place(match["user"], match["host"], None, match["path"])
    else:
        raise GitUnreachable(f"{shown(url)}: expected an https, http, ssh or file URL", subject=shown(url))
    return Remote(ssh_client(access, credentials, exchange, cleanup, place), place.path, url, exchange)


class _FolderClient(LocalGitClient):
    """Reads a repository on disk without its bitmaps.

    `git gc` writes a bitmap for one pack and the next push adds a pack without; dulwich 1.2.21 then looks for the second
    bitmap and fails, so such a repository could not be fetched until the next gc.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    # The base class declares its options one by one; all of them are handed on.
    def fetch_pack(  # type: ignore[override]
        self, path: Any, wants: Any, walker: Any, pack_data: Callable[[bytes], int], *options: Any, **named: Any
    ) -> FetchPackResult:
        def counted(data: bytes) -> int:
            self._exchange.count(len(data))
            return pack_data(data)

        return super().fetch_pack(path, wants, walker, counted, *options, **named)

    @classmethod
    def _open_repo(cls, path: str | bytes) -> contextlib.closing[Repo]:
        repo = Repo(os.fsdecode(path))
        walk = GraphTraversalReachability(repo.object_store)
        # Replaced on this one store: dulwich offers no setting for it.
        repo.object_store.get_reachability_provider = lambda *_, **__: walk  # type: ignore[method-assign]
        return contextlib.closing(repo)


def _http(
    access: RepositoryAccess, credentials: Credentials, exchange: Exchange, cleanup: contextlib.ExitStack
) -> Remote:
    given = access.credentials
    context = _trusting("") if given.ca is None else _trusting_also(given.ca, credentials)
    headers = {"User-Agent": "git/undrift"}
    pool = HostPool(exchange, context, headers)
    cleanup.callback(pool.clear)
    parts = urlsplit(access.url)
    login: dict[str, str] = {}
    if given.token is not None and given.username is None:
        headers["Authorization"] = f"Bearer {credentials.line(given.token)}"
    elif given.username is not None:
        require_line(given.username, "username")
        secret = given.token or given.password
        login = {"username": given.username, "password": credentials.line(secret) if secret else ""}
    elif parts.username:
        login = {"username": parts.username, "password": parts.password or ""}
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
    return Remote(HttpClient(base, pool, **login), parts.path, access.url, exchange)


def _trusting_also(ca: CredentialRef, credentials: Credentials) -> ssl.SSLContext:
    """The same for a CA that is referenced. Raises CredentialMissing, without what is there, for what is none."""
    try:
        return _trusting(credentials.text(ca))
    except (ssl.SSLError, TypeError, ValueError):  # TypeError is of what is not ASCII
        raise CredentialMissing(
            f"credential {named(ca)} is no CA certificate in PEM form (`-----BEGIN CERTIFICATE-----`, in ASCII); "
            "reference the right one",
            subject=named(ca),
        ) from None


@functools.lru_cache(maxsize=16)
def _trusting(ca: str) -> ssl.SSLContext:
    """What the machine trusts, and a CA besides. Reading all that a machine trusts takes 20 ms, far more than a look-up."""
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    return context


def _protocol_error(url: str, error: Exception) -> SourceError:
    words, cause = _plain(error), error.__cause__
    if isinstance(cause, urllib3.exceptions.NewConnectionError):  # dulwich passes on its words only
        return GitUnreachable(f"{url}: the Git host can't be reached: {_plain(cause)}", subject=url)
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
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its name can't be resolved"
    text = " ".join(line.decode(errors="replace").strip() for line in lines) if lines else str(error)
    text = _CONNECTION.sub("", text)
    return shown(" ".join(text.split()))[:500] or type(error).__name__
