"""Resolves a credential's reference in the process that connects, at the moment it connects.

Nothing is kept: a rotated file or Secret is seen at the next connection. The environment is handed in by
`workers.settings`, since the engine reads none itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from reconciler.errors import UndriftError
from reconciler.model.spec import CredentialRef

__all__ = ["CredentialMissing", "Credentials", "SecretReader", "named", "require_line"]


class CredentialMissing(UndriftError):
    """A referenced credential is not there, or not where references may point."""

    stage = "credentials"
    retry = 60.0


class SecretReader(Protocol):
    def __call__(self, namespace: str, name: str, key: str) -> bytes:
        """One value of a Secret of the hub cluster. Raises CredentialMissing."""


class Credentials:
    """Reads credential references. `folder` is the one folder below which `file` references may point."""

    def __init__(self, env: Mapping[str, str], folder: Path | None, secrets: SecretReader | None = None) -> None:
        self._env, self._folder, self._secrets = env, folder, secrets

    def read(self, ref: CredentialRef) -> bytes:
        """The value. Raises CredentialMissing with the reference's name, never with a value."""
        if ref.env is not None:
            return self._from_env(ref.env)
        if ref.file is not None:
            return self.path(ref.file).read_bytes()
        return self._from_secret(ref.secret or "")

    def text(self, ref: CredentialRef) -> str:
        """The value as text of any number of lines, without the newline that editors add."""
        try:
            return self.read(ref).decode().strip()
        except UnicodeDecodeError:
            # Without its cause: that names bytes of the value.
            raise CredentialMissing(f"credential {named(ref)} is no text", subject=named(ref)) from None

    def line(self, ref: CredentialRef) -> str:
        """The value of what is one line: a token or a password. Raises CredentialMissing for anything else.

        A key or a kubeconfig, referenced by mistake or by somebody who wants to see it, is so never sent to a host, and
        reaches no library that would name it in an error.
        """
        found = self.text(ref)
        require_line(found, named(ref))
        return found

    def path(self, name: str) -> Path:
        """Where a `file` reference points. Raises CredentialMissing when outside the folder or not there."""
        if self._folder is None:
            raise CredentialMissing(
                f"credential file {name!r}: no credentials folder is configured; set UNDRIFT_CREDENTIALS", subject=name
            )
        found = (self._folder / name).resolve()
        if not found.is_relative_to(self._folder.resolve()):
            raise CredentialMissing(f"credential file {name!r} leads out of the credentials folder", subject=name)
        if not found.is_file():
            raise CredentialMissing(f"credential file {name!r} is not in the credentials folder", subject=name)
        return found

    def _from_env(self, name: str) -> bytes:
        value = self._env.get(name)
        if not value:
            raise CredentialMissing(f"the environment variable {name} is not set in this process", subject=name)
        return value.encode()

    def _from_secret(self, reference: str) -> bytes:
        parts = reference.split("/")
        if self._secrets is None or len(parts) != 3:
            raise CredentialMissing(
                f"credential secret {reference!r} can't be read: expected namespace/name/key of the hub cluster, "
                "and a process that runs in it",
                subject=reference,
            )
        return self._secrets(parts[0], parts[1], parts[2])


def require_line(value: str, name: str) -> None:
    """Raises CredentialMissing, without the value, for one that is not a line of printable text."""
    if not value or not value.isprintable():
        raise CredentialMissing(
            f"credential {name} is not one line of printable text, as a token or password is; reference the right one",
            subject=name,
        )


def named(ref: CredentialRef) -> str:
    """What errors call a credential."""
    return ref.env or ref.file or ref.secret or ""
