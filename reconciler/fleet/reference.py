"""The reference of the fleet's files, made from the models: a JSON Schema for editors, and a page of every field.

`python -m reconciler.fleet.reference docs/reference` writes both; a test fails when they are not what the models say, so
that no default changes unseen.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from reconciler.fleet import later
from reconciler.fleet.documents import API_VERSION, KINDS, Application, Cluster, Override, Project, Repository
from reconciler.model.shape import format_duration
from reconciler.model.spec import CredentialRef, Ref

SCHEMA_FILE, PAGE_FILE = "fleet.schema.json", "fleet.md"
_AnyDocument = Annotated[Application | Cluster | Project | Repository, Field(discriminator="kind")]

_HEAD = f"""# Fleet files

<!-- Made from the models by `python -m reconciler.fleet.reference docs/reference`. Do not edit by hand. -->

Every `*.yaml`, `*.yml` and `*.json` file below the fleet's folder is read; hidden folders are not, and symbolic links
are not followed. A file holds one document, several, or a `List`. Each has `apiVersion: {API_VERSION}`. Unknown fields
are errors. `undrift fleet validate DIR` shows all that is wrong, at once. A file has at most 4 MiB, all together 32 MiB, and
a document 256 KiB.

For completion in an editor that knows the YAML language server, put this in the first line of a file:

    # yaml-language-server: $schema=<path or URL of docs/reference/{SCHEMA_FILE}>

A duration is written as Go does: `90s`, `15m`, `1h30m`. A credential is a reference, never a value: exactly one of
`env` (a variable that begins with UNDRIFT_CRED_), `file` (a path below the one folder configured for credentials) and
`secret` (`namespace/name/key` of a Secret of the hub cluster). Whoever may write the fleet's files may have every credential
that the schedulers and workers can read sent to a host of their choice, by a Cluster, a Project or a Repository: see
`docs/how-to/tenants.md` for how to part tenants. `required` stands for a field without
a default, `none` for one that is simply not set.

## Placeholders

An application's `source.path`, branch or tag, `namespace` and the texts in `render.helm.values`, also where an override
writes them, may hold placeholders, which each cluster fills in for itself:

| written | becomes |
| --- | --- |
| `${{cluster.name}}` | the Cluster's name |
| `${{cluster.labels.KEY}}` | a label of the Cluster, its key as it stands: `${{cluster.labels.example.com/zone}}` |
| `${{cluster.values.KEY}}` | one of the Cluster's `spec.values`, inside maps with dots: `${{cluster.values.db.host}}` |
| `$${{` | a literal `${{`, as in `$${{HOME}}` |

Overrides are merged first, then placeholders are filled in; what is filled in is not looked through again. A number,
true or false becomes text inside a longer text; a chart's value that is one placeholder and nothing else keeps its type,
and may be a whole map. A name that a cluster does not have is an error and never empty text: it names file, line, field
and the names that there are, and stops the application on those clusters only, where what runs stays as it is. What
comes of a path must lie inside the repository, without empty parts, `.` or `..` from a placeholder; what comes of a
namespace must be one, and be allowed by the project. In YAML's braces (`{{a: "${{cluster.name}}"}}`) a placeholder needs
quotes. A change of a label or value makes only those instances due whose own result is another.
"""


def schema() -> str:
    """The JSON Schema of any one document, as text.

    The kind chooses by `if` and `then`, so that an editor speaks of the one that was meant, not of four that do not fit.
    """
    made = TypeAdapter(_AnyDocument).json_schema(by_alias=True, schema_generator=_Schema)
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Undrift fleet document",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"enum": list(KINDS)}},
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"#/$defs/{kind}"}} for kind in KINDS
        ],
        "$defs": made["$defs"],
    }
    return json.dumps(whole, indent=2, sort_keys=True) + "\n"


class _Schema(GenerateJsonSchema):
    """Writes defaults as a person would write them in a file."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        if isinstance(dft, Ref):
            return str(dft)
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return super().encode_default(dft)


def page() -> str:
    """The page of every field, what it accepts and its default, as Markdown."""
    return "\n".join([_HEAD, *(_section(kind, model) for kind, model in KINDS.items())])


def write(folder: Path) -> None:
    """Write both files into a folder."""
    (folder / SCHEMA_FILE).write_text(schema())
    (folder / PAGE_FILE).write_text(page())


def _section(kind: str, model: type[BaseModel]) -> str:
    lines = [f"## {kind}", "", inspect.cleandoc(model.__doc__ or ""), ""]
    lines += ["| field | accepts | default | |", "| --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in _rows(model, "")]
    if names := [path for path in later.FIELDS.get(kind, {}) if "sources." not in path]:
        lines += ["", "Refused until a later version acts on it: " + ", ".join(f"`{name}`" for name in names) + "."]
    return "\n".join([*lines, ""])


def _rows(model: type[BaseModel], above: str) -> Iterator[tuple[str, str, str, str]]:
    meanings = _meanings(model)
    for name, info in model.model_fields.items():
        path = f"{above}{info.alias or name}"
        inner, suffix = _model_in(info.annotation)
        if not above and name in ("api_version", "kind"):
            continue
        if inner is CredentialRef:
            yield f"`{path}`", "`env`, `file` or `secret`", _default(info), meanings.get(name, "")
        elif inner is None or not inner.model_fields:
            yield f"`{path}`", _accepts(info.annotation), _default(info), meanings.get(name, "")
        elif above and model is Override and inner.__name__ in ("RenderOptions", "SyncPolicy", "DriftPolicy"):
            yield f"`{path}`", f"as `spec.{name}`", "none", "What is not written here stays as it is."
        elif above.startswith("spec.overrides") and inner.__name__ == "ClusterSelector":
            yield f"`{path}`", "as `spec.clusters`", "required", ""
        elif above.startswith("spec.sources"):
            yield f"`{path}`", f"as `spec.source.{name}`", "", ""
        else:
            yield from _group(path, suffix, inner, info, meanings.get(name, ""))


def _group(
    path: str, suffix: str, inner: type[BaseModel], info: FieldInfo, meaning: str
) -> Iterator[tuple[str, str, str, str]]:
    text = meaning or " ".join(inspect.cleandoc(inner.__doc__ or "").split())
    accepts = "a list of mappings" if suffix else "text or a mapping" if inner is Ref else "a mapping"
    yield f"`{path}`", accepts, _default(info), text
    if path == "spec.sources":
        return
    yield from _rows(inner, f"{path}{suffix}.")


def _model_in(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model that an annotation holds, and `[]` when it is a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    is_list = get_origin(annotation) is tuple
    for argument in get_args(annotation):
        found, suffix = _model_in(argument)
        if found is not None:
            return found, "[]" if is_list else suffix
    return None, ""


def _accepts(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _accepts(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_accepts(one) for one in arguments if one is not NoneType)
    if origin is tuple:
        return f"a list of {_accepts(arguments[0])}"
    if origin is dict:
        inner = arguments[1]
        is_any = inner is Any or (get_origin(inner) is Annotated and get_args(inner)[0] is Any)
        return "a mapping" if is_any else f"a mapping of {_accepts(inner)}"
    names = {str: "text", bool: "`true`, `false`", int: "a whole number", timedelta: "a duration"}
    return names.get(annotation, "`{}`")


def _default(info: FieldInfo) -> str:
    value = info.default
    if info.is_required():
        return "required"
    if value is None:
        return "none"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if isinstance(value, Ref):
        return f"`{value}`"
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, Mapping | tuple):
        return "`{}`" if isinstance(value, Mapping) else "`[]`"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`" if value else '`""`'


@cache
def _meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """What stands below each field in the source, as its docstring."""
    found: dict[str, str] = {}
    for one in reversed([one for one in model.__mro__ if issubclass(one, BaseModel) and one is not BaseModel]):
        body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                found[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[attr-defined]  # is_text
    return found


if __name__ == "__main__":
    write(Path(sys.argv[1]))
