"""A workload as data: how many applications of how many objects there are to apply. Every tool is given the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.objects import yaml


@dataclass(frozen=True, slots=True)
class Workload:
    """Applications of a few small ConfigMaps, a folder each, all in the namespace that has the workload's name."""

    name: str
    applications: int
    parts: tuple[str, ...] = ("a", "b", "c")

    @property
    def objects(self) -> int:
        return self.applications * len(self.parts)

    def named(self, name: str, applications: int | None = None) -> Workload:
        """The same under another name, so that it is new to the cluster."""
        return replace(self, name=name, applications=applications or self.applications)

    def files(self, number: int, value: str = "") -> Mapping[str, str]:
        """The files of one application, by path."""
        name = f"{self.name}-{number}"
        return {
            f"{name}/{part}.yaml": (
                f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-{part}}}\n"
                f"data: {{value: '{value or part * 200}'}}\n"
            )
            for part in self.parts
        }

    def all_files(self) -> Mapping[str, str]:
        return {path: text for number in range(self.applications) for path, text in self.files(number).items()}

    def bodies(self) -> list[Any]:
        """Every object, in its namespace."""
        found = [body for text in self.all_files().values() for _, body in yaml.load_all(text, self.name)]
        for body in found:
            body["metadata"]["namespace"] = self.name
        return found


FIRST = Workload("first", 200)
LARGE = Workload("large", 1000)
BY_KUBECTL = 40
"""Applications that kubectl is given: app by app it is too slow for all."""
WARM_UP = 40
"""Applications before the measured ones: each connection and process has worked once before it counts."""
