"""Stored JSON, small: what is kept per instance must stay under 2 KB of Redis (DESIGN.md §10).

Specs, memories and statuses are short texts that are nearly all field names, so each alone hardly compresses; against a
dictionary of such texts they shrink to a third (2026-11-23, 2,000 instances of three objects: 4.5 KB to 2 KB each). The
first byte names the dictionary: another one's text reads as unknown, which costs what an emptied Redis costs. So does a
damaged one: it is one instance's, and many are read at once.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import TypeVar

import structlog

T = TypeVar("T")
log = structlog.get_logger()
VERSION = b"\x01"
MOST_BYTES = 16 << 20
"""Of a text: the memory of 60,000 objects. 1 KB of Redis can inflate to 1 MB."""
LEVEL = 6
# What occurs most stands last: zlib finds that cheapest.
DICTIONARY = (
    b'"removed":[],"adopted":[],"closure":{"paths":{"/kustomization.yaml":"","/values.yaml":"","/templates":"absent","'
    b'"inputs":"","capabilities":{}}},"entry":[","commit ","Synced"," created at main ",],"heals":{},"waiting_since":null}'
    b'["sha256:"],"rbac.authorization.k8s.io|ClusterRole|","networking.k8s.io|Ingress|","|Secret|","|Namespace|",'
    b'"|ConfigMap|","|Service|","apps|Deployment|{"unflushed":{"fence":17,"revision":"","digest":"sha256:","at":"2026-'
    b'+00:00","spec":"sha256:","complete":true,"proofs":{"'
    b'"sync":"OutOfSync","phase":"Failed","health":"Degraded","Progressing","reason":"WaitingForHealth","stale":true'
    b'{"instance":"default/","project":"default","application":"","cluster":"","sync":"Synced","phase":"Idle","health":'
    b'"Healthy","reason":"Synced","message":"","revisions":[{"source":"https://","ref":"main","revision":""}],'
    b'"appliedRevision":"","planId":"","lastSync":"2026-","observedAt":"","objects":[{"key":"|","sync":"Synced","health":'
    b'"Healthy","result":"Unchanged"},{"key":"|","sync":"Synced","health":"Healthy","result":"Created"}],"failures":1,'
    b'"fence":17,"digest":"sha256:","counts":{"Created":1},"requests":10}'
    b'{"application":"","cluster":{"access":{"inCluster":null,"kubeconfig":{"context":null,"env":null,"file":".yaml",'
    b'"secret":null}},"drift":{"detect":"Scan","every":"3m"},"labels":{"env":"prod","ring":"canary"},"mode":"Active",'
    b'"name":""},"drift":{"action":"Heal"},"labels":{"team":"web"},"namespace":"","project":"default","render":{'
    b'"directory":{"exclude":[],"include":[],"recurse":true},"helm":{"releaseName":null,"skipCrds":false,"valueFiles":[],'
    b'"values":{}},"hooks":"Fail","kind":null},"rules":null,"sources":[{"path":"apps/","ref":{"branch":"main","commit":'
    b'null,"tag":null},"repo":{"credentials":{"ca":null,"knownHosts":null,"password":null,"sshKey":null,"token":null,'
    b'"username":null},"limits":{"objectBytes":67108864,"objects":5000000,"sizeBytes":2147483648,"timeout":"5m"},"poll":'
    b'"1m","url":"https://git.example.com/apps.git"}}],"sync":{"adopt":"Unclaimed","applyTimeout":"1m","createNamespace":'
    b'false,"healthTimeout":"15m","mode":"Auto","prune":true,"resyncInterval":"6h"}}'
)


def pack(text: bytes) -> bytes:
    """A JSON text as it is stored."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=DICTIONARY)
    return VERSION + packer.compress(text) + packer.flush()


def unpack(stored: bytes | None) -> bytes | None:
    """The text of what is stored; None for nothing, for what another version wrote, and for what is damaged or too long."""
    if stored is None or not stored.startswith(VERSION):
        return None
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS, zdict=DICTIONARY)
    try:
        text = unpacker.decompress(stored[len(VERSION) :], MOST_BYTES)
    except zlib.error:
        return None
    return text if unpacker.eof else None


def readable(stored: bytes | None, parse: Callable[[bytes], T], what: str, whose: object) -> T | None:
    """What `parse` makes of what is stored; None for nothing, and for what can't be read. The log tells once of each that is
    damaged: `what` it is, and `whose`."""
    text, why = unpack(stored), f"it does not unpack, or to more than {MOST_BYTES >> 20} MiB"
    if text is not None:
        try:
            return parse(text)
        except Exception as error:  # what is made of any JSON at all: the errors share no base
            why = f"it can't be read: {type(error).__name__}"
    if stored is not None and stored.startswith(VERSION):
        _warn(what, whose, why)
    return None


@functools.lru_cache(maxsize=10_000)
def _warn(what: str, whose: object, why: str) -> None:
    log.warning("stored_text_damaged", what=what, whose=str(whose), why=f"{why}; taken for unknown")
