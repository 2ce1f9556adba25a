"""The words that scheduler, store and tasks share: what work there is, how urgent, and what a grant of it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, get_args

WorkKind = Literal["sync", "scan", "refresh", "deliver"]
KINDS: tuple[WorkKind, ...] = get_args(WorkKind)


class Lane(IntEnum):
    """How urgent work is; the lower goes first."""

    OPERATOR = 0
    COMMIT = 1
    DRIFT = 2
    PERIODIC = 3


@dataclass(frozen=True, slots=True, order=True)
class Work:
    """One thing to do, of which there is one at a time: sync an instance, scan a cluster, refresh a repository, deliver to
    the webhook."""

    kind: WorkKind
    subject: str

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    @classmethod
    def parse(cls, text: str) -> Work:
        kind, _, subject = text.partition(" ")
        if kind not in KINDS:
            raise ValueError(f"{text!r} is no work")
        return cls(kind, subject)

    @property
    def project(self) -> str:
        """What fairness is measured by: an instance's project; every other kind shares one."""
        return self.subject.partition("/")[0] if self.kind == "sync" else f"({self.kind})"

    @property
    def destination(self) -> str:
        """What it keeps busy: the cluster of a sync, `git HOST` of a look-up; empty for all else. As `queue.lua` has it."""
        if self.kind == "sync":
            return self.subject.rpartition("@")[2]
        host = git_host(self.subject) if self.kind == "refresh" else ""
        return f"git {host}" if host else ""


def kind_of(project: str) -> WorkKind:
    """The kind of work whose `project` this is."""
    return next((kind for kind in KINDS if project == f"({kind})"), "sync")


def git_host(url: str) -> str:
    """The host of a repository's URL, with its port when it names one; empty for a folder. A look-up's name may say more
    after a space, which no URL holds."""
    url = url.partition(" ")[0]
    _, is_url, rest = url.partition("://")
    host = rest.partition("/")[0] if is_url else url.partition("/")[0].partition(":")[0]
    return host.rpartition("@")[2].lower()


DELIVER = Work("deliver", "webhook")


@dataclass(frozen=True, slots=True)
class Mark:
    """A wish that work be done. `at_ms` is wall time; None is now. A wish for work that waits already joins it."""

    work: Work
    lane: Lane
    reason: str
    at_ms: int | None = None
    commit: str = ""
    full: bool = False
    request: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to do work once, under a fence, as leased. The reasons are those of all wishes that joined."""

    work: Work
    fence: int
    lane: Lane
    reasons: tuple[str, ...] = ()
    commit: str = ""
    full: bool = False
    requests: tuple[str, ...] = field(default_factory=tuple)

    @property
    def by_operator(self) -> bool:
        return bool(self.requests) or self.lane is Lane.OPERATOR
