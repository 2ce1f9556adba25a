"""How much YAML may become: values and characters, in one document and in all that one render reads.

Aliases make much of little: 10 KB in 40 documents gave 9 million values, each document within its own bound. So documents
share a budget. Measured on 2 cores under load (Python 3.11, 2026-11-28): what people write takes 2.7 µs and 100 bytes a
value, at 8 bytes of text (CRDs: 25 and more); what aliases repeat 0.6 to 0.8 µs and 20 to 50 bytes. A whole render's
budget is then 8 s and 300 MB, of a worker child's 300 s, and 24 to 75 MB of honest text, where a helper's answer ends at
32 MiB.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_NODES = 500_000
"""In one document: its composed nodes, which cost 400 bytes each, are held at once."""
MOST_TEXT = 32 * 1024 * 1024
MOST_NODES_IN_ALL = 3_000_000
MOST_TEXT_IN_ALL = 128 * 1024 * 1024
"""As much as the files of one render may have."""


@dataclass(slots=True)
class Budget:
    """What is left for all documents that share it. Spent by `objects.yaml`, also by what is then refused."""

    nodes: int = MOST_NODES_IN_ALL
    text: int = MOST_TEXT_IN_ALL

    def spend(self, nodes: int, text: int) -> None:
        """Note what a document took, which may be more than was left."""
        self.nodes -= nodes
        self.text -= text
