"""What the API server's answers mean: each refusal becomes one error of the tree, with a sentence a person can act on.

The texts matched here are the API server's own (Kubernetes 1.37, read in its source): it tells several permanent user
errors from passing ones by text only. Where an answer is not a Kubernetes Status at all, something in between answered,
and the cluster is unreachable, whatever the status code says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson

from reconciler.errors import (
    AccessDenied,
    AdmissionDenied,
    ClusterError,
    FieldConflict,
    ImmutableField,
    InvalidObject,
    NamespaceMissing,
    NamespaceTerminating,
    PreconditionFailed,
    QuotaExceeded,
    TooManyRequests,
    UndriftError,
    UnknownKind,
    Unreachable,
)
from reconciler.model.manifest import Raw
from reconciler.objects import keys, mask

_MANAGER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')
LONGEST_MESSAGE = 600
MOST_JUDGED = 16 << 10
"""Of a message; the API server repeats whole objects, and what is wrong stands before and after."""
_OBJECTS = re.compile(r"(Invalid value: )\S*\{.*\}", re.DOTALL)
_ECHOES = re.compile(r"(Invalid value: |got )(?:\"(?:[^\"\\]|\\.)*\"|.*)", re.DOTALL)
"""Where the API server repeats a value it refuses; its Go syntax has no end that could be relied on."""
_IMMUTABLE = re.compile(r"field is immutable|may not change once set|is immutable|updates to \w+ spec for fields other")


NO_SUCH_PATH = b"404 page not found"
"""What an API server says, in plain text, for a kind that it does not serve any more, such as that of a deleted CRD. So do
others: who gets it asks discovery whether that is so."""


LONGEST_WAIT_S = 600.0
"""A cluster that asks for more is asked again all the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    data: bytes


def parsed(answer: Answer, cluster: str) -> dict[str, Any]:
    """The JSON of a good answer. Raises Unreachable for anything else than a JSON object."""
    try:
        body = orjson.loads(answer.data)
    except orjson.JSONDecodeError as error:
        raise no_api_server(answer.status, cluster) from error
    if not isinstance(body, dict):
        raise no_api_server(answer.status, cluster)
    return body


def is_object(body: object) -> TypeGuard[Raw]:
    """Whether JSON has an object's shape as far as it is relied on: metadata, with maps and lists where they belong."""
    meta = body.get("metadata") if isinstance(body, Mapping) else None
    if not isinstance(meta, Mapping):
        return False
    maps = (meta.get("labels"), meta.get("annotations"))
    lists = (meta.get("managedFields"), meta.get("ownerReferences"))
    return all(one is None or _is_text_map(one) for one in maps) and all(
        one is None or (isinstance(one, list) and all(isinstance(part, Mapping) for part in one)) for one in lists
    )


def _is_text_map(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values())


def is_object_missing(answer: Answer, plural: str) -> bool:
    """Whether this 404 is the API server's word that one object does not exist: a Status with its resource and name."""
    if answer.status != 404:
        return False
    status = _status(answer)
    details = _details(status)
    return status.get("reason") == "NotFound" and bool(details.get("name")) and details.get("kind") == plural


def error_of(answer: Answer, *, cluster: str, subject: str, sent: Raw | None = None) -> UndriftError:
    """The error that a refusal means. `sent` is the body that was refused: secrets in it are cut from the message."""
    status = _status(answer)
    if answer.status == 429:  # its own flow control answers in plain text
        return _later(answer, _bounded(str(status.get("message") or "too many requests")), cluster)
    if answer.status == 404 and answer.data.strip() == NO_SUCH_PATH:
        return UnknownKind(f"{subject}: the cluster does not serve this kind", subject=subject)
    if status.get("kind") != "Status":
        return no_api_server(answer.status, cluster)
    message = _safe(str(status.get("message") or status.get("reason") or ""), sent)
    reason = str(status.get("reason") or "")
    found = _details(status).get("causes")
    causes = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
    if answer.status == 401:
        return AccessDenied(f"cluster {cluster}: our credentials are not accepted (401); renew its kubeconfig")
    if answer.status == 403:
        return _forbidden(_shortened(message), causes, cluster, subject)
    if answer.status == 404:
        return _not_found(status, message, subject)
    if answer.status == 409:
        return _conflict(reason, message, causes, subject)
    if answer.status == 503:
        return _later(answer, message, cluster)
    if "failed to create typed patch object" in message:
        return InvalidObject(f"{subject}: {_shortened(message)}; correct the manifest", subject=subject)
    is_immutable = answer.status == 422 and _IMMUTABLE.search(message)
    message = _shortened(message)
    if is_immutable:
        return ImmutableField(
            f'{subject}: {message}; the object must be made anew: annotate it with {keys.REPLACE}: "true"',
            subject=subject,
        )
    return _refused(answer, message, cluster, subject)


def _status(answer: Answer) -> Mapping[str, Any]:
    try:
        body = orjson.loads(answer.data)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) and body.get("kind") == "Status" else {}


def no_api_server(status: int, cluster: str) -> Unreachable:
    """The error for an answer that has no API server's shape: whatever its status code, nothing is concluded."""
    return Unreachable(
        f"cluster {cluster}: HTTP {status} that is no Kubernetes API server's answer (a proxy in between?); "
        "nothing is concluded from it",
        subject=cluster,
    )


def _forbidden(message: str, causes: list[Mapping[str, Any]], cluster: str, subject: str) -> UndriftError:
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return NamespaceTerminating(
            f"{subject}: its namespace is being deleted; tried again when it is gone", subject=subject
        )
    if "exceeded quota" in message or "must specify limits" in message:
        return QuotaExceeded(f"{subject}: {message}; raise the quota or ask for less", subject=subject)
    if _is_admission(message):
        return AdmissionDenied(f"{subject}: {message}", subject=subject)
    if "while custom resource definition is terminating" in message:
        return UnknownKind(f"{subject}: {message}", subject=subject)
    if " cannot " in message:
        return AccessDenied(f"cluster {cluster}: {subject}: {message}; grant it to Undrift's user", subject=subject)
    return AdmissionDenied(f"{subject}: {message}", subject=subject)


def _details(status: Mapping[str, Any]) -> Mapping[str, Any]:
    found = status.get("details")
    return found if isinstance(found, Mapping) else {}


def _not_found(status: Mapping[str, Any], message: str, subject: str) -> UndriftError:
    details = _details(status)
    if details.get("kind") == "namespaces":
        return NamespaceMissing(
            f"{subject}: its namespace {details.get('name')} does not exist; declare it in Git, or set "
            "sync.createNamespace: true",
            subject=subject,
        )
    return UnknownKind(f"{subject}: the cluster does not serve this kind ({message})", subject=subject)


def _conflict(reason: str, message: str, causes: list[Mapping[str, Any]], subject: str) -> UndriftError:
    fields = tuple(
        (str(cause.get("field", "")), _manager(str(cause.get("message", ""))[:MOST_JUDGED]))
        for cause in causes
        if cause.get("reason") == "FieldManagerConflict"
    )
    if fields:
        field, manager = fields[0]
        more = f" and {len(fields) - 1} more fields" if len(fields) > 1 else ""
        return FieldConflict(f"{subject}: {field}{more} belongs to {manager}", causes=fields, subject=subject)
    return PreconditionFailed(f"{subject}: {message}", subject=subject)


def _manager(text: str) -> str:
    match = _MANAGER.search(text)
    return match[1] if match else "an unknown manager"


def _later(answer: Answer, message: str, cluster: str) -> ClusterError:
    after = answer.headers.get("Retry-After", "")
    retry = min(max(float(after), 1.0), LONGEST_WAIT_S) if after.isascii() and after.isdigit() else 5.0
    return TooManyRequests(f"cluster {cluster}: asks us to come back later: {message}", subject=cluster, retry=retry)


def _refused(answer: Answer, message: str, cluster: str, subject: str) -> UndriftError:
    if _is_admission(message):
        return AdmissionDenied(f"{subject}: {message}", subject=subject)
    if answer.status in (400, 413, 422) or "request is too large" in message:
        return InvalidObject(f"{subject}: {message}; correct the manifest", subject=subject)
    if answer.status == 410:
        return PreconditionFailed(f"{subject}: {message}", subject=subject)
    return Unreachable(f"cluster {cluster}: HTTP {answer.status}: {message}", subject=cluster)


def _is_admission(message: str) -> bool:
    """Whether a webhook or policy said no, or could not be asked: either way it is this object's matter alone."""
    signs = ("admission webhook", "failed calling webhook", "ValidatingAdmissionPolicy", "denied request")
    return any(sign in message for sign in signs)


def _bounded(message: str) -> str:
    """Before any expression is matched: some take the square of a text's length."""
    if len(message) <= MOST_JUDGED:
        return message
    return f"{message[: MOST_JUDGED // 2]} … {message[-MOST_JUDGED // 2 :]}"


def _shortened(message: str) -> str:
    """The API server repeats whole objects, as in a refused change of a Job: what is wrong stands before and after."""
    if len(message) > LONGEST_MESSAGE:
        message = _OBJECTS.sub(r"\1{…}", message)
    if len(message) > LONGEST_MESSAGE:
        message = f"{message[: LONGEST_MESSAGE // 2]} … {message[-LONGEST_MESSAGE // 3 :]}"
    return message


def _safe(message: str, sent: Raw | None) -> str:
    """The API server repeats parts of what it refuses; a Secret's values must not come back in a message."""
    if sent is None or not mask.is_secret(sent):
        return _bounded(message)
    # Shortened afterwards: half of a value would not be found.
    return _ECHOES.sub(rf"\1{mask.HIDDEN}", _bounded(mask.cut(message, mask.secret_texts(sent))))
