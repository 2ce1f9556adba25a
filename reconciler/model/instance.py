"""The names of the unit of work: one application on one cluster.

An instance key is written `project/application@cluster`; `default/` may be left out when typed, never in JSON. The
field manager and the inventory's name are derived from it here and nowhere else, since both are promises to clusters.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass

DEFAULT_PROJECT = "default"
MANAGER_LIMIT = 128  # of the API server: metav1.FieldManager is at most 128 printable characters
_KEY = re.compile(r"(?:(?P<project>[a-z0-9.-]+)/)?(?P<application>[a-z0-9.-]+)@(?P<cluster>[a-z0-9.-]+)")


@dataclass(frozen=True, slots=True, order=True)
class InstanceKey:
    """Names one application on one cluster."""

    project: str
    application: str
    cluster: str

    def __str__(self) -> str:
        return f"{self.project}/{self.application}@{self.cluster}"

    @property
    def short(self) -> str:
        """As people type it: without the project when that is `default`."""
        return f"{self.application}@{self.cluster}" if self.project == DEFAULT_PROJECT else str(self)

    @property
    def manager(self) -> str:
        """The field manager of all our applies; hashed when the API server would refuse its length."""
        name = f"undrift:{self.project}/{self.application}"
        if len(name) <= MANAGER_LIMIT:
            return name
        return f"undrift:{hashlib.sha256(name.encode()).hexdigest()}"

    @property
    def inventory_name(self) -> str:
        """The name of the instance's inventory Secret in `undrift-system`."""
        return f"undrift.{self.project}.{self.application}"

    @classmethod
    def parse(cls, text: str) -> InstanceKey:
        """Read a key as typed or as stored. Raises ValueError with what is accepted."""
        match = _KEY.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not an instance: expected [project/]application@cluster")
        names = match["project"] or DEFAULT_PROJECT, match["application"], match["cluster"]
        return cls(*map(sys.intern, names))  # a fleet has 100,000 keys, of few names
