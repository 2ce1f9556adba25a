"""Whose field is it: what to do when others change ours, add theirs, or are to keep what we only set at first."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reconciler.model.shape import Spec


class ForeignRule(Spec):
    """What to do about fields that some writers add and Git does not declare."""

    managers: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    """Globs of field managers' names."""
    action: Literal["Ignore", "Report", "Remove"]


PEOPLES_TOOLS = ForeignRule(
    managers=("kubectl*", "[Ll]ens*", "[Ff]reelens*", "[Oo]penLens*", "k9s*", "[Hh]eadlamp*", "*dashboard*"),
    action="Report",
)


class DriftPolicy(Spec):
    """What to do when a field we own was changed by another, or another has added one."""

    action: Literal["Heal", "Report", "Ignore"] = "Heal"
    foreign_fields: tuple[ForeignRule, ...] = (PEOPLES_TOOLS,)
    """By writer, the first that matches; what matches none is ignored, since controllers write what they must."""


class IgnoredDifference(Spec):
    """Fields that belong to another writer, with the names that Argo CD gives them. They are sent when an object is created
    and left out afterwards. Group and kind may be globs; a name or namespace left out means any."""

    group: str = ""
    kind: str
    name: str = ""
    namespace: str = ""
    json_pointers: tuple[Annotated[str, Field(pattern=r"^(/[^/]+)+$")], ...] = ()
    """RFC 6901, such as `/spec/replicas`; `~1` stands for a slash."""
    managed_fields_managers: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Every field that these managers own on the live object."""

    @model_validator(mode="after")
    def _names_something(self) -> IgnoredDifference:
        if not self.json_pointers and not self.managed_fields_managers:
            raise ValueError("expected jsonPointers, managedFieldsManagers or both")
        identity = ("/apiVersion", "/kind", "/metadata/name", "/metadata/namespace", "/metadata", "/metadata/labels")
        for pointer in self.json_pointers:
            if pointer in identity:
                raise ValueError(f"{pointer} is part of an object's identity and can't be ignored")
        return self
