"""One cluster through raw JSON: the real `ClusterApi`.

Each request asks the guard first and gets no more time than the lease has left, so that no request begun in time can be
finished by us long after. Nothing is retried but a read or an apply that found its keep-alive connection closed by the
server: those may be repeated, while a create or replace that did arrive would then look like somebody else's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson
import urllib3
from urllib3.exceptions import (
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,
)

from reconciler.cluster import answers
from reconciler.errors import (
    AccessDenied,
    Frozen,
    InvalidObject,
    LeaseLost,
    NoAnswer,
    PreconditionFailed,
    UndriftError,
    UnknownKind,
    Unreachable,
)
from reconciler.model.live import Discovery, Listing, Resource
from reconciler.model.manifest import Raw
from reconciler.objects import names
from reconciler.objects.kinds import NAMESPACES
from reconciler.ports import Guard

if TYPE_CHECKING:
    from reconciler.cluster.connect import Connection

READ_TIMEOUT_S = 15.0
WRITE_TIMEOUT_S = 34.0  # the API server itself gives a PATCH 34 s
CONNECT_TIMEOUT_S = 5.0
WATCH_GRACE_S = 15.0
"""How much longer than it was asked to a watch may be silent; bookmarks come about every minute."""
IDENTITY_KEPT_S = 60.0
"""What answers at an address may become another cluster without the address' changing."""
PAGE = 500
CHUNK = 1 << 18
APPLY_PATCH = "application/apply-patch+yaml"
METADATA = "as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Client:
    """A cluster, bound to one guard and one User-Agent. Safe to use from several threads."""

    def __init__(
        self, name: str, connection: Connection, guard: Guard, *, agent: str, is_read_only: bool = False
    ) -> None:
        self.name, self.is_read_only = name, is_read_only
        self._connection, self._guard, self._agent = connection, guard, agent
        self._lock = threading.Lock()
        self._codes = Counter[str]()

    @property
    def requests(self) -> int:
        return self._codes.total()

    @property
    def codes(self) -> Mapping[str, int]:
        return dict(self._codes)

    @property
    def known_namespaces(self) -> set[str]:
        """Namespaces that this process knows to exist; shared by all clients of the cluster."""
        return self._connection.namespaces_made

    def identity(self, *, refresh: bool = False) -> str:
        is_old = self._connection.clock.boot_s() - self._connection.identified_s > IDENTITY_KEPT_S
        if refresh or is_old or self._connection.identity is None:
            try:
                found = self.get(NAMESPACES, "", "kube-system", metadata_only=True)
            except AccessDenied:
                found = None
            self._connection.identity = str(found["metadata"]["uid"]) if found else ""
            self._connection.identified_s = self._connection.clock.boot_s()
        return self._connection.identity

    def server_time(self) -> datetime | None:
        return self._connection.server_time()

    def discovery(self, *, refresh: bool = False) -> Discovery:
        try:
            return self._connection.discovery.get(self._read, refresh=refresh)
        except Unreachable as error:
            if self.name not in error.message:
                raise Unreachable(f"cluster {self.name}: {error.message}", subject=self.name) from error
            raise

    def get(self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False) -> Raw | None:
        accept = f"application/json;{METADATA}" if metadata_only else "application/json"
        answer = self._send("GET", _path(resource, namespace, name), accept=accept)
        if answers.is_object_missing(answer, resource.plural):
            return None
        body = self._body(answer, f"{resource.kind} {namespace}/{name}", resource)
        if (body.get("metadata") or {}).get("name") != name:
            raise Unreachable(
                f"cluster {self.name}: answered something else than {resource.kind} {name}: no API server's answer, "
                "so nothing is concluded from it",
                subject=self.name,
            )
        return _with_type(body, resource)

    def list(
        self, resource: Resource, *, namespace: str = "", selector: str = "", metadata_only: bool = False
    ) -> Listing:
        items: list[Raw] = []
        token = ""
        while True:
            page = self._page(resource, namespace, selector, token, metadata_only=metadata_only)
            meta = page.get("metadata") or {}
            version = str(meta.get("resourceVersion") or "")
            # An empty list of metadata is written `"items": null`; one without a version is no list at all.
            if not version or "items" not in page or not str(page.get("kind")).endswith("List"):
                raise Unreachable(
                    f"cluster {self.name}: the list of {resource.plural} is no list, or has no resourceVersion: "
                    "nothing is concluded from it",
                    subject=self.name,
                )
            items += [_with_type(item, resource) for item in page["items"] or ()]
            token = str(meta.get("continue") or "")
            if not token:
                return Listing(tuple(items), version)

    def watch(self, resource: Resource, *, selector: str, version: str, lasts_s: int) -> Iterator[Mapping[str, Any]]:
        """The events of one watch from a version on, metadata only, as they come; ends by itself after `lasts_s`.

        Raises PreconditionFailed when the API server has forgotten the version, and what other requests raise.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(lasts_s),
            "labelSelector": selector,
        }
        what = f"the watch of {resource.plural}"
        for line in self._lines(
            _path(resource, ""), query, f"application/json;{METADATA}", lasts_s + WATCH_GRACE_S, what
        ):
            event = answers.parsed(answers.Answer(200, {}, line), self.name)
            if event.get("type") == "ERROR":
                code = int((event.get("object") or {}).get("code") or 500)
                raise answers.error_of(
                    answers.Answer(code, {}, orjson.dumps(event["object"])), cluster=self.name, subject=what
                )
            yield {**event, "object": _with_type(event["object"], resource)}

    def apply(self, resource: Resource, body: Raw, *, manager: str, force: bool, dry_run: bool = False) -> Raw:
        meta = body["metadata"]
        query = {"fieldManager": manager, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        path = _path(resource, str(meta.get("namespace") or ""), str(meta["name"]))
        answer = self._send("PATCH", path, query, body, content=APPLY_PATCH)
        return _with_type(self._body(answer, _subject(body), resource, body), resource)

    def create(self, resource: Resource, body: Raw) -> Raw:
        path = _path(resource, str(body["metadata"].get("namespace") or ""))
        answer = self._send("POST", path, {"fieldManager": "undrift"}, body)
        return self._body(answer, _subject(body), resource, body)

    def replace(self, resource: Resource, body: Raw) -> Raw:
        meta = body["metadata"]
        path = _path(resource, str(meta.get("namespace") or ""), str(meta["name"]))
        answer = self._send("PUT", path, {"fieldManager": "undrift"}, body)
        if answers.is_object_missing(answer, resource.plural):
            raise PreconditionFailed(f"{_subject(body)} is gone", subject=_subject(body))
        return self._body(answer, _subject(body), resource, body)

    def patch_json(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Sequence[Mapping[str, Any]],
        *,
        dry_run: bool = False,
    ) -> Raw:
        path = _path(resource, namespace, name)
        query = {"fieldManager": "undrift"} | ({"dryRun": "All"} if dry_run else {})
        answer = self._send("PATCH", path, query, list(patch), content="application/json-patch+json")
        if answers.is_object_missing(answer, resource.plural):
            raise PreconditionFailed(f"{resource.kind} {namespace}/{name} is gone")
        return _with_type(self._body(answer, f"{resource.kind} {namespace}/{name}", resource), resource)

    def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> Raw | None:
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": preconditions,
        }
        answer = self._send("DELETE", _path(resource, namespace, name), body=options)
        if answers.is_object_missing(answer, resource.plural):
            return None
        return self._body(answer, f"{resource.kind} {namespace}/{name}", resource)

    def _page(
        self, resource: Resource, namespace: str, selector: str, token: str, *, metadata_only: bool
    ) -> Mapping[str, Any]:
        query = {"limit": str(PAGE)}
        if selector:
            query["labelSelector"] = selector
        if token:
            query["continue"] = token
        accept = f"application/json;{METADATA_LIST}" if metadata_only else "application/json"
        answer = self._send("GET", _path(resource, namespace), query, accept=accept)
        return self._body(answer, f"the list of {resource.plural}", resource)

    def _read(self, path: str, accept: str, known: str) -> tuple[str, Mapping[str, Any]] | None:
        """A GET outside of resources, for discovery: the ETag and the document, None when it is the `known` one still. A
        404 there is never an API server's."""
        answer = self._send("GET", path, accept=accept, known=known)
        if answer.status == 304 and known:
            return None
        if answer.status == 404:
            raise Unreachable(
                f"cluster {self.name}: answered 404 for {path}: no API server is there (a proxy in between?)",
                subject=self.name,
            )
        return str(answer.headers.get("ETag") or ""), self._body(answer, path, None)

    def _body(self, answer: answers.Answer, subject: str, resource: Resource | None, sent: Raw | None = None) -> Raw:
        if answer.status < 300:
            return answers.parsed(answer, self.name)
        error = answers.error_of(answer, cluster=self.name, subject=subject, sent=sent)
        if isinstance(error, UnknownKind) and answer.status == 404 and resource is not None:
            raise self._judge_missing_kind(error, resource)
        raise error

    def _judge_missing_kind(self, error: UndriftError, resource: Resource) -> UndriftError:
        """A 404 for a kind that discovery serves is a lie of something in between, never the kind's absence."""
        found = self.discovery(refresh=True).find(resource.group_kind, resource.version)
        if found is None:
            return error
        return Unreachable(
            f"cluster {self.name}: answered 404 for {resource.plural}, which its discovery serves; "
            "nothing is concluded from it",
            subject=self.name,
        )

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        *,
        content: str = "application/json",
        accept: str = "application/json",
        known: str = "",
    ) -> answers.Answer:
        url = self._connection.server + path + (f"?{urlencode(query)}" if query else "")
        payload = orjson.dumps(body) if body is not None else None
        headers = {"Accept": accept, "User-Agent": self._agent}
        if known:
            headers["If-None-Match"] = known
        if payload is not None:
            headers["Content-Type"] = content
        if authorization := self._authorization():
            headers["Authorization"] = authorization
        # The server may close a kept-alive connection as we send; a fresh one tells whether it is there at all.
        tries = 2 if method == "GET" or content == APPLY_PATCH else 1
        if method != "GET" and "dryRun" not in (query or ()):
            self._require_writable()
        try:
            return self._tried(method, url, payload, headers, tries=tries)
        except HTTPError as error:
            raise self._unreachable(error) from error

    def _lines(self, path: str, query: Mapping[str, str], accept: str, within_s: float, what: str) -> Iterator[bytes]:
        """The lines of an answer that goes on for as long as it is followed."""
        url = f"{self._connection.server}{path}?{urlencode(query)}"
        headers = {"Accept": accept, "User-Agent": self._agent}
        if authorization := self._authorization():
            headers["Authorization"] = authorization
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=within_s)
        try:
            response = self._connection.pool.request(
                "GET",
                url,
                headers=headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
                pool_timeout=within_s,
            )
            try:
                if response.status != 200:
                    answer = answers.Answer(response.status, response.headers, response.read())
                    raise answers.error_of(answer, cluster=self.name, subject=what)
                left = b""
                for chunk in response.stream(CHUNK):
                    *lines, left = (left + chunk).split(b"\n")
                    yield from (line for line in lines if line)
            finally:
                response.close()
                response.release_conn()
        except HTTPError as error:
            raise self._unreachable(error) from error

    def _require_writable(self) -> None:
        if self.is_read_only:
            raise Frozen(
                f"cluster {self.name} is in mode Observe: nothing is written to it", kind="Observed", until=None
            )
        self._guard.require_unfrozen()

    def _tried(
        self, method: str, url: str, payload: bytes | None, headers: Mapping[str, str], *, tries: int
    ) -> answers.Answer:
        try:
            return self._once(method, url, payload, headers)
        except ProtocolError:
            if tries <= 1:
                raise
        return self._tried(method, url, payload, headers, tries=tries - 1)

    def _authorization(self) -> str | None:
        try:
            with self._connection.lock:
                return self._connection.authorization()
        except Exception as error:  # a token program's failures share no base; each means that nobody may be asked
            raise Unreachable(
                f"cluster {self.name}: its kubeconfig gives no login now: {type(error).__name__}; run its token "
                "command by hand to see why",
                subject=self.name,
            ) from error

    def _once(self, method: str, url: str, payload: bytes | None, headers: Mapping[str, str]) -> answers.Answer:
        left_s = self._guard.remaining_s()
        if left_s <= 0:
            raise LeaseLost(f"cluster {self.name}: the lease ended before {method} {url.partition('?')[0]}")
        limit_s = min(READ_TIMEOUT_S if method == "GET" else WRITE_TIMEOUT_S, left_s)
        timeout = urllib3.Timeout(total=limit_s, connect=min(CONNECT_TIMEOUT_S, limit_s))
        ends_at, status = time.monotonic() + limit_s, "none"
        try:
            response = self._connection.pool.request(
                method,
                url,
                body=payload,
                headers=headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
                pool_timeout=limit_s,
            )
            data = self._received(response, ends_at)
            status = str(response.status)
        finally:
            with self._lock:
                self._codes[status] += 1
        if date := response.headers.get("Date"):
            with contextlib.suppress(ValueError):  # not an API server's; what it answered is judged elsewhere
                at = parsedate_to_datetime(date)
                # HTTP knows no other zone than GMT; `-0000`, as some gateways write it, gives a time without one.
                self._connection.note_server_time(at if at.tzinfo else at.replace(tzinfo=UTC))
        return answers.Answer(response.status, response.headers, data)

    def _received(self, response: urllib3.BaseHTTPResponse, ends_at: float) -> bytes:
        """The whole answer. urllib3 bounds each read, not their sum: an answer that drips is given up here."""
        chunks = []
        try:
            for chunk in response.stream(CHUNK):
                chunks.append(chunk)
                if time.monotonic() > ends_at:
                    raise NoAnswer(
                        f"cluster {self.name}: its answer did not end in time; nothing is concluded from it",
                        subject=self.name,
                    )
        except BaseException:
            response.close()
            response.release_conn()  # closed, it still holds its place in the pool
            raise
        response.release_conn()
        return b"".join(chunks)

    def _unreachable(self, error: HTTPError) -> NoAnswer:
        if isinstance(error, SSLError):
            what = f"TLS: its certificate is not accepted, or ours is not: {error}"
        elif isinstance(error, NameResolutionError):
            what = "its name can't be resolved"
        elif isinstance(error, ProxyError):
            what = "the proxy in its kubeconfig does not lead to it"
        elif isinstance(error, NewConnectionError):
            what = "it refuses connections"
        elif isinstance(error, TimeoutError):
            what = "it did not answer in time"
        else:
            what = f"{type(error).__name__}: {error}"
        where = self._connection.server
        return NoAnswer(
            f"cluster {self.name} ({where}) is unreachable: {what}; what runs there stays as it is", subject=self.name
        )


def _path(resource: Resource, namespace: str, name: str = "") -> str:
    """The URL's path. Raises InvalidObject for a name that would lead to another resource's: `..` is collapsed on the way,
    and an encoded slash is one to the API server."""
    for part in (namespace, name):
        if flaw := names.flaw_of_name(part):
            raise InvalidObject(f"{resource.kind}: {part[:80]!r} {flaw}; nothing was sent", subject=resource.kind)
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    place = f"/namespaces/{quote(namespace, safe='')}" if resource.namespaced and namespace else ""
    return f"{root}{place}/{resource.plural}" + (f"/{quote(name, safe='')}" if name else "")


def _with_type(body: Raw, resource: Resource) -> Raw:
    """List items and metadata-only answers carry no kind of their own, or PartialObjectMetadata."""
    return {**body, "apiVersion": resource.api_version, "kind": resource.kind}


def _subject(body: Raw) -> str:
    meta = body["metadata"]
    place = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{body['kind']} {place}{meta.get('name', '')}".rstrip()  # what is only asked, like a review, has no name
