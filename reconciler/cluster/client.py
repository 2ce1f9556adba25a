"""One cluster through raw JSON: the real `ClusterApi`.

What is asked, and what an answer means; how it gets there is `cluster.transport`. A 404, a list and a name are believed only
where they are an API server's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from reconciler.cluster import answers
from reconciler.cluster.transport import APPLY_PATCH, TooMuch, Transport
from reconciler.errors import (
    AccessDenied,
    InvalidObject,
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

WATCH_GRACE_S = 15.0
"""How much longer than it was asked to a watch may be silent; bookmarks come about every minute."""
IDENTITY_KEPT_S = 60.0
"""What answers at an address may become another cluster without the address' changing."""
PAGE = 500
SMALL_PAGE = 20
LIST_TIMEOUT_S = 200.0
"""For all pages of a list; a task is killed after 300 s."""
MOST_LISTED_BYTES = 256 << 20
"""For all pages of a list that is held as it is: some 200,000 objects of metadata, and several times as much in memory."""
METADATA = "as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Client:
    """A cluster, bound to one guard and one User-Agent. Safe to use from several threads."""

    def __init__(
        self, name: str, connection: Connection, guard: Guard, *, agent: str, is_read_only: bool = False
    ) -> None:
        self.name, self.is_read_only = name, is_read_only
        self._connection = connection
        self._transport = Transport(name, connection, guard, agent=agent, is_read_only=is_read_only)

    @property
    def requests(self) -> int:
        return self._transport.codes.total()

    @property
    def codes(self) -> Mapping[str, int]:
        return dict(self._transport.codes)

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
            if found and not found["metadata"].get("uid"):
                raise Unreachable(
                    f"cluster {self.name}: its kube-system has no uid: no API server's answer", subject=self.name
                )
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
        answer = self._transport.send("GET", _path(resource, namespace, name), accept=accept)
        if answers.is_object_missing(answer, resource.plural):
            return None
        body = self._body(answer, f"{resource.kind} {namespace}/{name}", resource)
        if not answers.is_object(body) or body["metadata"].get("name") != name:
            raise Unreachable(
                f"cluster {self.name}: answered something else than {resource.kind} {name}: no API server's answer, "
                "so nothing is concluded from it",
                subject=self.name,
            )
        return _with_type(body, resource)

    def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        selector: str = "",
        metadata_only: bool = False,
        trim: Callable[[Raw], Raw] | None = None,
    ) -> Listing:
        try:
            return self._listed(resource, namespace, selector, PAGE, trim, metadata_only=metadata_only)
        except TooMuch:  # objects of a megabyte each, such as full inventories
            return self._listed(resource, namespace, selector, SMALL_PAGE, trim, metadata_only=metadata_only)

    def _listed(
        self,
        resource: Resource,
        namespace: str,
        selector: str,
        limit: int,
        trim: Callable[[Raw], Raw] | None,
        *,
        metadata_only: bool,
    ) -> Listing:
        items: list[Raw] = []
        token, size, ends_at = "", 0, time.monotonic() + LIST_TIMEOUT_S
        while True:
            page, page_size = self._page(resource, namespace, selector, limit, token, metadata_only=metadata_only)
            size += page_size
            version, token, found = self._page_parts(page, resource)
            whole = (_with_type(item, resource) for item in found)
            items += map(trim, whole) if trim else whole
            if not token:
                return Listing(tuple(items), version)
            if (size > MOST_LISTED_BYTES and trim is None) or time.monotonic() > ends_at:
                raise Unreachable(
                    f"cluster {self.name}: the list of {resource.plural} did not end within {LIST_TIMEOUT_S:.0f} s and "
                    f"{MOST_LISTED_BYTES >> 20} MiB; nothing is concluded from it",
                    subject=self.name,
                )

    def _page_parts(self, page: Mapping[str, Any], resource: Resource) -> tuple[str, str, Sequence[Raw]]:
        """Version, token of the next page, and items. An empty list of metadata is written `"items": null`; one without a
        version is no list at all."""
        meta = page.get("metadata")
        version = str(meta.get("resourceVersion") or "") if isinstance(meta, Mapping) else ""
        is_list = bool(version) and "items" in page and str(page.get("kind")).endswith("List")
        found = page.get("items") or ()
        if not is_list or not isinstance(found, list | tuple) or not all(map(answers.is_object, found)):
            raise Unreachable(
                f"cluster {self.name}: the list of {resource.plural} is no list, or has no resourceVersion: "
                "nothing is concluded from it",
                subject=self.name,
            )
        return version, str(page["metadata"].get("continue") or ""), found

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
        for line in self._transport.lines(
            _path(resource, ""), query, f"application/json;{METADATA}", lasts_s + WATCH_GRACE_S, what
        ):
            event = answers.parsed(answers.Answer(200, {}, line), self.name)
            found = event.get("object")
            if event.get("type") == "ERROR" and isinstance(found, Mapping):
                given = found.get("code")
                code = given if isinstance(given, int) else 500
                raise answers.error_of(answers.Answer(code, {}, orjson.dumps(found)), cluster=self.name, subject=what)
            if not answers.is_object(found):
                raise answers.no_api_server(200, self.name)
            yield {**event, "object": _with_type(found, resource)}

    def apply(self, resource: Resource, body: Raw, *, manager: str, force: bool, dry_run: bool = False) -> Raw:
        meta = body["metadata"]
        query = {"fieldManager": manager, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        path = _path(resource, str(meta.get("namespace") or ""), str(meta["name"]))
        answer = self._transport.send("PATCH", path, query, body, content=APPLY_PATCH)
        return _with_type(self._object(answer, _subject(body), resource, body), resource)

    def create(self, resource: Resource, body: Raw) -> Raw:
        path = _path(resource, str(body["metadata"].get("namespace") or ""))
        answer = self._transport.send("POST", path, {"fieldManager": "undrift"}, body)
        return self._body(answer, _subject(body), resource, body)

    def replace(self, resource: Resource, body: Raw) -> Raw:
        meta = body["metadata"]
        path = _path(resource, str(meta.get("namespace") or ""), str(meta["name"]))
        answer = self._transport.send("PUT", path, {"fieldManager": "undrift"}, body)
        if answers.is_object_missing(answer, resource.plural):
            raise PreconditionFailed(f"{_subject(body)} is gone", subject=_subject(body))
        return self._object(answer, _subject(body), resource, body)

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
        answer = self._transport.send("PATCH", path, query, list(patch), content="application/json-patch+json")
        if answers.is_object_missing(answer, resource.plural):
            raise PreconditionFailed(f"{resource.kind} {namespace}/{name} is gone")
        return _with_type(self._object(answer, f"{resource.kind} {namespace}/{name}", resource), resource)

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
        answer = self._transport.send("DELETE", _path(resource, namespace, name), body=options)
        if answers.is_object_missing(answer, resource.plural):
            return None
        return self._body(answer, f"{resource.kind} {namespace}/{name}", resource)

    def _page(
        self, resource: Resource, namespace: str, selector: str, limit: int, token: str, *, metadata_only: bool
    ) -> tuple[Mapping[str, Any], int]:
        """One page, and how many bytes it was."""
        query = {"limit": str(limit)}
        if selector:
            query["labelSelector"] = selector
        if token:
            query["continue"] = token
        accept = f"application/json;{METADATA_LIST}" if metadata_only else "application/json"
        answer = self._transport.send("GET", _path(resource, namespace), query, accept=accept)
        return self._body(answer, f"the list of {resource.plural}", resource), len(answer.data)

    def _read(self, path: str, accept: str, known: str) -> tuple[str, Mapping[str, Any]] | None:
        """A GET outside of resources, for discovery: the ETag and the document, None when it is the `known` one still. A
        404 there is never an API server's."""
        answer = self._transport.send("GET", path, accept=accept, known=known)
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

    def _object(self, answer: answers.Answer, subject: str, resource: Resource, sent: Raw | None = None) -> Raw:
        body = self._body(answer, subject, resource, sent)
        if not answers.is_object(body):
            raise answers.no_api_server(answer.status, self.name)
        return body

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
