"""`python -m reconciler.testing.git FOLDER [--port N]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reconciler.testing.git.http import GitServer


def main() -> None:
    """Serve every repository below a folder."""
    parser = argparse.ArgumentParser(prog="python -m reconciler.testing.git", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    server = GitServer(options.folder, port=options.port)
    print(f"serving {options.folder} at {server.url('')}", flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
