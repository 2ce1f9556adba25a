"""What the variables `UNDRIFT_…` may hold, each read into what it means. Messages name the variable and the way out."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import ValidationError

from reconciler.errors import UndriftError
from reconciler.model.spec import CredentialRef, RepositoryAccess, RepositoryCredentials


class BadSetting(UndriftError):
    """A setting can't be used."""

    stage = "settings"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where notices go. The URL may hold a password in its path, so neither is ever shown."""

    url: str = field(repr=False)
    secret: CredentialRef
    """What notices are signed with: resolved when one is sent."""


def mode(env: Mapping[str, str]) -> str:
    """`Active` or `Observe`. Raises BadSetting."""
    mode = env.get("UNDRIFT_MODE") or "Active"
    if mode not in ("Active", "Observe"):
        raise BadSetting(f"UNDRIFT_MODE={mode!r}: expected Active or Observe", subject="UNDRIFT_MODE")
    return mode


def address(env: Mapping[str, str]) -> str:
    """Where `/metrics` is to be served; empty for nowhere. Raises BadSetting."""
    text = env.get("UNDRIFT_METRICS", "")
    host, _, port = text.rpartition(":")
    if text and not (host and port.isdecimal() and int(port) < 65536):
        raise BadSetting(
            f"UNDRIFT_METRICS={text!r}: expected HOST:PORT, such as 127.0.0.1:9464", subject="UNDRIFT_METRICS"
        )
    return text


def journal_repo(env: Mapping[str, str]) -> RepositoryAccess | None:
    """Where the journal is copied to; None when it is not. Raises BadSetting."""
    url = env.get("UNDRIFT_JOURNAL_REPO", "")
    if not url:
        return None
    fleet = env.get("UNDRIFT_FLEET", "")
    if _plain(url) in (_plain(fleet), _plain(fleet.rpartition("@")[0])):
        message = "UNDRIFT_JOURNAL_REPO is the fleet's repository; the journal needs one of its own"
        raise BadSetting(message, subject="UNDRIFT_JOURNAL_REPO")
    text = env.get("UNDRIFT_JOURNAL_CREDENTIALS") or "{}"
    try:
        return RepositoryAccess(url=url, credentials=RepositoryCredentials.model_validate_json(text))
    except ValidationError as error:
        raise BadSetting(
            f"UNDRIFT_JOURNAL_CREDENTIALS: {error.errors()[0]['msg']}; expected a Repository's credentials as JSON, such as "
            '{"token": {"env": "UNDRIFT_CRED_JOURNAL"}}',
            subject="UNDRIFT_JOURNAL_CREDENTIALS",
        ) from None


def _plain(url: str) -> str:
    return url.rstrip("/").removesuffix(".git")


def webhook(env: Mapping[str, str]) -> Webhook | None:
    """The webhook that is set up. No message repeats a value: people put secrets in the wrong variable."""
    url, secret = env.get("UNDRIFT_WEBHOOK_URL", ""), env.get("UNDRIFT_WEBHOOK_SECRET", "")
    if not url:
        return None
    if not _is_webhook_url(url):
        message = "UNDRIFT_WEBHOOK_URL: expected http://HOST/… or https://HOST/… without spaces, user or fragment"
        raise BadSetting(message, subject="UNDRIFT_WEBHOOK_URL")
    kind, _, name = secret.partition(":")
    if kind == "file" and name:
        return Webhook(url, CredentialRef(file=name))
    if kind == "env" and re.fullmatch(r"UNDRIFT_CRED_[A-Z0-9_]+", name):
        return Webhook(url, CredentialRef(env=name))
    raise BadSetting(
        "UNDRIFT_WEBHOOK_SECRET: expected env:UNDRIFT_CRED_NAME, or file:NAME of a file below UNDRIFT_CREDENTIALS; it "
        "names the secret that notices are signed with, and is not the secret itself",
        subject="UNDRIFT_WEBHOOK_SECRET",
    )


def _is_webhook_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and " " not in url and "@" not in parts.netloc and not parts.fragment
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and is_plain


def number(env: Mapping[str, str], name: str, default: float, *, most: float) -> float:
    """A positive number, at most `most`. Raises BadSetting."""
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text.removesuffix("s"))
    except ValueError as error:
        raise BadSetting(f"{name}={text!r}: expected a number", subject=name) from error
    if not 0 < value <= most:
        raise BadSetting(f"{name}={text!r}: expected more than 0 and at most {most:g}", subject=name)
    return value


def installation(text: str) -> str:
    """The installation's UUID as it is written. Raises BadSetting."""
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise BadSetting(f"UNDRIFT_INSTALLATION={text!r}: expected a UUID", subject="UNDRIFT_INSTALLATION") from error
