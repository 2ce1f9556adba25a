"""Sends one signed notice to the one webhook. One attempt; when to try again is its caller's business.

Redirects are not followed, since a signed notice is for the address that was configured. The answer's body is not read.
No error names more of the URL than its host: the path of a webhook is often its password.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from reconciler.credentials import CredentialMissing, Credentials
from reconciler.errors import UndriftError
from reconciler.notify import SIGNATURE_HEADER, signature
from workers.settings import Settings, Webhook

TIMEOUT_S = 10.0


class NotDelivered(UndriftError):
    """The receiver did not say that it took the notice. It may have it all the same."""

    stage = "notify"


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent: the JSON, its stable key, and the moment that is signed with it."""

    body: bytes = field(repr=False)
    key: str
    at_s: int


def post(url: str, secret: bytes, letter: Letter, *, timeout_s: float = TIMEOUT_S) -> None:
    """Deliver a notice. Raises NotDelivered for everything but an answer of 200 to 299 within the time.

    The time is for all of it: a receiver that sends one byte every few seconds would outlast any limit of its socket.
    """
    attempt = _Attempt(urlsplit(url), secret, letter, timeout_s)
    thread = threading.Thread(target=attempt.run, name="webhook", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        attempt.abandon()
        raise NotDelivered(f"{attempt.host} did not answer within {timeout_s:g} s", subject=attempt.host)
    if attempt.problem:
        raise NotDelivered(f"{attempt.host} {attempt.problem}", subject=attempt.host)


def read_secret(target: Webhook, chosen: Settings) -> bytes:
    """What notices are signed with, read anew each time, so that a rotated one is seen. Raises CredentialMissing."""
    try:
        secret = Credentials(chosen.env, chosen.credentials).read(target.secret).strip()
    except OSError as error:
        raise CredentialMissing(f"the webhook's secret can't be read: {error.strerror}") from error
    if not secret:
        raise CredentialMissing("the webhook's secret is empty")
    return secret


def host(url: str) -> str:
    """All of a webhook's URL that may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


class _Attempt:
    def __init__(self, url: SplitResult, secret: bytes, letter: Letter, timeout_s: float) -> None:
        self._url, self._secret, self._letter = url, secret, letter
        self.host = host(url.geturl())
        self.problem = "was not asked"
        self._connection = _connection(url, timeout_s)

    def run(self) -> None:
        try:
            self.problem = self._ask()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.problem = _why(error)
        finally:
            self._connection.close()

    def _ask(self) -> str:
        letter = self._letter
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "undrift",
            "Idempotency-Key": letter.key,
            SIGNATURE_HEADER: signature(self._secret, letter.at_s, letter.body),
        }
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        self._connection.request("POST", target, body=letter.body, headers=headers)
        status = self._connection.getresponse().status
        if 300 <= status < 400:
            return f"answered {status}, a redirect, which is not followed: set UNDRIFT_WEBHOOK_URL to where it leads"
        return "" if 200 <= status < 300 else f"answered {status}"

    def abandon(self) -> None:
        """Wake the thread, which nobody waits for any more."""
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _connection(url: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    name = url.hostname or ""
    if url.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(name, url.port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(name, url.port, timeout=timeout_s)


def _why(error: Exception) -> str:
    """What went wrong, in words that can't hold the URL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    if isinstance(error, socket.gaierror):
        return "has no address: its name is not known"
    return f"did not answer as HTTP ({type(error).__name__})"
