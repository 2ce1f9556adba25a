"""Leaves fields to their owners: what `ignoreDifferences` names is sent when an object is created, and not afterwards.

A field that our apply owns and no longer declares is deleted by the API server. So where nobody else owns an ignored field
yet, its live value is declared instead of the one from Git: nothing changes, and the first other writer takes it over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any, Final

import orjson

from reconciler.model.drift import IgnoredDifference
from reconciler.model.manifest import ObjectKey, Raw
from reconciler.objects import managedfields
from reconciler.objects.pointer import tokens

Fields = Mapping[str, Any]
NOTHING: Final = object()


def rules_for(key: ObjectKey, rules: Sequence[IgnoredDifference]) -> tuple[IgnoredDifference, ...]:
    """The rules that concern an object."""
    return tuple(rule for rule in rules if _concerns(rule, key))


def without(body: Raw, live: Raw, manager: str, rules: Sequence[IgnoredDifference]) -> dict[str, Any]:
    """The apply body with the ignored fields left to their owners. `live` is the whole object as it is now."""
    left = deepcopy(dict(body))
    own = (managedfields.apply_entry(live, manager) or {}).get("fieldsV1") or {}
    others = [one for one in managedfields.entries(live) if one.get("manager") != manager]
    trees = [one.get("fieldsV1") or {} for one in others]
    # From the end, so that taking out an item of a list moves none that is still to be looked at.
    for parts in sorted({tuple(tokens(text)) for rule in rules for text in rule.json_pointers}, reverse=True):
        _leave(left, live, own, trees, parts)
    named = {name for rule in rules for name in rule.managed_fields_managers}
    for entry in others:
        if entry.get("manager") in named:
            _strip(left, entry.get("fieldsV1") or {})
    return left


def is_ignored(field: str, rules: Sequence[IgnoredDifference], manager: str = "") -> bool:
    """Whether a field, as the API server writes it (`.spec.replicas`), is left to its owner. Pointers through items of
    lists are known by index in Git and by key on the server, so they are not recognised here."""
    if any(manager and manager in rule.managed_fields_managers for rule in rules):
        return True
    prefixes = ["".join(f".{token}" for token in tokens(text)) for rule in rules for text in rule.json_pointers]
    return any(field == prefix or field.startswith((f"{prefix}.", f"{prefix}[")) for prefix in prefixes)


def left_of(fields: Fields, body: Raw, rules: Sequence[IgnoredDifference]) -> dict[str, Any]:
    """The part of another writer's fieldsV1 that the rules' pointers leave to it. `body` is the manifest, by whose lists
    a pointer's indexes count."""
    left: dict[str, Any] = {}
    for parts in {tuple(tokens(text)) for rule in rules for text in rule.json_pointers}:
        keys = list(_keys_down(fields, body, parts))
        if keys and len(keys) == len(parts):
            _graft(left, fields, keys)
    return left


def _keys_down(fields: Any, body: Any, tokens: Sequence[str]) -> Iterator[str]:
    """The keys of fieldsV1 on the way to a field; as many as tokens when it is owned."""
    for token in tokens:
        if isinstance(body, list):
            body = body[int(token)] if token.isdecimal() and int(token) < len(body) else None
            key = _item_key(fields, body)
        else:
            body = body.get(token) if isinstance(body, Mapping) else None
            key = f"f:{token}"
        if not isinstance(fields, Mapping) or key not in fields:
            return
        fields = fields[key]
        yield key


def _graft(left: dict[str, Any], fields: Fields, keys: Sequence[str]) -> None:
    """Put what stands at a place of a fieldsV1 at the same place of another."""
    for key in keys[:-1]:
        left, fields = left.setdefault(key, {}), fields[key]
    left[keys[-1]] = fields[keys[-1]]


def _concerns(rule: IgnoredDifference, key: ObjectKey) -> bool:
    return (
        fnmatchcase(key.group, rule.group)
        and fnmatchcase(key.kind, rule.kind)
        and (not rule.name or rule.name == key.name)
        and (not rule.namespace or rule.namespace == key.namespace)
    )


def _leave(body: dict[str, Any], live: Raw, own: Fields, others: Sequence[Fields], tokens: Sequence[str]) -> None:
    """Take one field out, and put back of the live one what is ours alone."""
    holders = list(_walk_down(body, tokens))
    if len(holders) != len(tokens):
        return  # Git does not declare it
    fields, theirs, seen = _below(own, others, live, body, tokens)
    kept = _ours_alone(fields, theirs, seen)
    if kept is not NOTHING:
        _set(holders[-1], tokens[-1], kept)
        return
    for holder, token in zip(reversed(holders), reversed(tokens), strict=True):
        _remove(holder, token)
        if holder or holder is body:  # a map that our taking out has emptied would be owned as such
            break


def _walk_down(body: Any, tokens: Sequence[str]) -> Iterator[Any]:
    """The maps and lists on the way to a field; as many as tokens when the field is there."""
    for token in tokens:
        if isinstance(body, dict) and token in body:
            yield body
            body = body[token]
        elif isinstance(body, list) and token.isdecimal() and int(token) < len(body):
            yield body
            body = body[int(token)]
        else:
            return


def _below(own: Any, others: Sequence[Any], live: Any, body: Any, tokens: Sequence[str]) -> tuple[Any, list[Any], Any]:
    """Our fields, those of others, and the live value at a place that the body names."""
    theirs: list[Any] = list(others)
    for token in tokens:
        if isinstance(body, list):
            item = body[int(token)]
            key = _item_key(own, item) or next((found for one in theirs if (found := _item_key(one, item))), "")
            live = _live_item(live, key)
            body = item
        else:
            key = f"f:{token}"
            live = live.get(token, NOTHING) if isinstance(live, Mapping) else NOTHING
            body = body[token]
        own = own.get(key) if isinstance(own, Mapping) else None
        theirs = [one[key] for one in theirs if isinstance(one, Mapping) and key in one]
    return own, theirs, live


def _item_key(fields: Any, item: Any) -> str:
    """The key of fieldsV1 that means an item of a list."""
    for key in fields if isinstance(fields, Mapping) else ():
        kind, _, text = key.partition(":")
        if kind == "k" and isinstance(item, Mapping):
            if all(item.get(name) == value for name, value in orjson.loads(text).items()):
                return str(key)
        elif kind == "v" and orjson.loads(text) == item:
            return str(key)
    return ""


def _live_item(live: Any, key: str) -> Any:
    kind, _, text = key.partition(":")
    if not isinstance(live, list) or not text:
        return NOTHING
    wanted = orjson.loads(text)
    if kind == "v":
        return wanted if wanted in live else NOTHING
    matches = (one for one in live if isinstance(one, Mapping) and all(one.get(n) == v for n, v in wanted.items()))
    return next(matches, NOTHING)


def _ours_alone(own: Any, others: Sequence[Any], live: Any) -> Any:
    """The part of a live value that our entry owns and no other does; NOTHING when there is none."""
    if own is None or live is NOTHING:
        return NOTHING
    below = {key: value for key, value in own.items() if key != "."}
    if not below:
        return NOTHING if others else deepcopy(live)
    if isinstance(live, Mapping):
        kept = {
            key.partition(":")[2]: part
            for key, value in below.items()
            if (part := _ours_alone(value, _of(others, key), live.get(key.partition(":")[2], NOTHING))) is not NOTHING
        }
        return kept or NOTHING
    items = [
        {**orjson.loads(key.partition(":")[2]), **part} if key.startswith("k:") and isinstance(part, dict) else part
        for key, value in below.items()
        if (part := _ours_alone(value, _of(others, key), _live_item(live, key))) is not NOTHING
    ]
    return items or NOTHING


def _of(others: Sequence[Any], key: str) -> list[Any]:
    return [one[key] for one in others if isinstance(one, Mapping) and key in one]


def _strip(body: Any, fields: Fields) -> None:
    """Take out of a body every field that a fieldsV1 owns."""
    for key, below in fields.items():
        kind, _, text = key.partition(":")
        if kind == "f" and isinstance(body, dict) and text in body:
            if not {name for name in below if name != "."}:
                del body[text]
            else:
                _strip(body[text], below)
                if body[text] in ({}, []):
                    del body[text]
        elif kind in ("k", "v") and isinstance(body, list):
            for item in [one for one in body if _item_key({key: below}, one)]:
                if kind == "v":
                    body.remove(item)
                else:
                    names = {f"f:{name}" for name in orjson.loads(text)}
                    _strip(item, {name: one for name, one in below.items() if name not in names})


def _set(holder: Any, token: str, value: Any) -> None:
    holder[int(token) if isinstance(holder, list) else token] = value


def _remove(holder: Any, token: str) -> None:
    del holder[int(token) if isinstance(holder, list) else token]
