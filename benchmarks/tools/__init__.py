"""What is measured beside Undrift, an adapter each: `ready` makes a tool warm, and the call that it yields is what counts.

Another tool takes its place in a run by one more module here and its name in `first_sync.TOOLS`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from benchmarks.site import Site
from benchmarks.workload import Workload


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run: objects applied, seconds of the clock, and the tool's own CPU seconds."""

    objects: int
    seconds: float
    cpu_s: float


class Tool(Protocol):
    """`name` stands in the results."""

    name: str

    def ready(self, site: Site, work: Workload) -> AbstractContextManager[Callable[[], Run]]:
        """Everything before the measured part: files written, connections open. The call applies the workload once."""


__all__ = ["Run", "Tool"]
