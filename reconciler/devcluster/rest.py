"""The few requests that a supervisor sends to its own API server: is it ready, make a Node, are the Nodes ready.

The waits below ask again every 50 ms: a server that is only just starting gives no event to wait on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import urllib3

from reconciler.devcluster.errors import DevClusterError

__all__ = ["ASK_AGAIN_S", "Api", "Question", "wait_until"]

ASK_AGAIN_S = 0.05
Question = Callable[[], bool]


def wait_until(what: str, question: Question, *, within_s: float, pause: Callable[[], None]) -> None:
    """Ask until the answer is yes. `pause` waits a little, and raises when waiting on has become pointless.

    Raises DevClusterError at the deadline.
    """
    deadline = time.monotonic() + within_s
    while not question():
        pause()
        if time.monotonic() > deadline:
            raise DevClusterError(f"{what} was not there within {within_s:.0f} s")


class Api:
    """An API server on this machine, asked as its admin."""

    def __init__(self, url: str, certificate: Path, token: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {token}"}
        self._http = urllib3.PoolManager(ca_certs=str(certificate), retries=False, timeout=5.0)

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def answers(self, path: str) -> bool:
        """Whether a GET of this path is answered with 200."""
        return self._status("GET", path) == 200

    def get(self, path: str) -> dict[str, Any]:
        """The object at a path, empty when the server does not give it."""
        try:
            response = self._http.request("GET", self._url + path, headers=self._headers)
        except urllib3.exceptions.HTTPError:
            return {}
        found: dict[str, Any] = response.json() if response.status == 200 else {}
        return found

    def create(self, path: str, body: Mapping[str, Any]) -> bool:
        """Create an object; True also when it is there already."""
        return self._status("POST", path, body) in (200, 201, 409)

    def _status(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> int:
        try:
            return self._http.request(method, self._url + path, headers=self._headers, json=body).status
        except urllib3.exceptions.HTTPError:
            return 0
