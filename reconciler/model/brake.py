"""A person's word that nothing is to be written: a freeze, or the pause of one application."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reconciler.model.instance import InstanceKey


@dataclass(frozen=True, slots=True)
class Brake:
    """In force from `at` until it is lifted or `until` has come. `scope` is `all`, `project:P`, `cluster:C`,
    `application:P/A` or `instance:P/A@C`; the first three are freezes, the others pauses."""

    scope: str
    reason: str
    by: str
    at: datetime
    until: datetime | None = None

    @property
    def kind(self) -> Literal["Frozen", "Paused"]:
        """The stable reason code of what it stops."""
        return "Paused" if self.scope.startswith(("application:", "instance:")) else "Frozen"

    def is_over(self, now: datetime) -> bool:
        return self.until is not None and self.until <= now

    def covers(self, key: InstanceKey) -> bool:
        return self.scope in scopes(key)

    @property
    def sentence(self) -> str:
        """What, by whom, why, how long, and how it ends."""
        what = self.scope.partition(":")[2] or "everything"
        until = f"until {self.until:%Y-%m-%d %H:%M:%S} UTC" if self.until else "until a person lifts it"
        return (
            f"{what} is {self.kind.lower()} by {self.by} {until}: {self.reason or 'no reason given'}; {self._way_out}"
        )

    @property
    def _way_out(self) -> str:
        kind, _, name = self.scope.partition(":")
        if self.kind == "Paused":
            return f"`undrift app resume {name.removeprefix('default/')}`"
        return f"`undrift thaw --{kind}{' ' + name if name else ''}`"


def scopes(key: InstanceKey) -> tuple[str, ...]:
    """Every scope that an instance is in, the widest first."""
    application = f"{key.project}/{key.application}"
    return (
        "all",
        f"project:{key.project}",
        *cluster_scopes(key.cluster)[1:],
        f"application:{application}",
        f"instance:{key}",
    )


def cluster_scopes(cluster: str) -> tuple[str, ...]:
    """The scopes that stop every write to a cluster."""
    return ("all", f"cluster:{cluster}")
