"""The example fleet, made ready for a Git server whose address is known only when it runs.

The files in `examples/fleet` are valid as they stand and name a host that does not exist. Whoever serves `examples/apps`
writes a copy of them here that names the real address instead; nothing else differs.
"""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
EXAMPLE_HOST = "https://git.example.com"
REPOSITORY = "apps.git"
"""The repository's path on the Git server, below its address."""


def app_files() -> dict[str, bytes]:
    """What the repository holds: path to content."""
    root = EXAMPLES / "apps"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def write_fleet(into: Path, server: str) -> Path:
    """Write the fleet's files into a folder, with the Git server's address (`http://127.0.0.1:8080`) in them."""
    root = EXAMPLES / "fleet"
    for path in sorted(root.rglob("*.yaml")):
        place = into / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path.read_text().replace(EXAMPLE_HOST, server.rstrip("/")))
    return into
