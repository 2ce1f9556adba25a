"""Runs the benchmarks and writes what they found to `benchmarks/results/`.

first-sync   200 applications of 3 objects on one bare cluster, by Undrift and other tools in turn, in the same minutes
commits      one application of 100, 1,000 (and 10,000) in one repository changes: push to applied
edits        an edit by hand, seen by a watch: edit to healed
scans        a scan that proves 1,000 applications, against one full re-apply of them
idle         600 synced applications at production defaults: the CPU of all of Undrift's processes, Valkey and Flower
scheduling   a scheduler over 20,000 (100,000) instances with simulated syncs: lateness, fairness, memory
memory       a worker child and its render helper before and after 1,000 syncs
mirror       a process that fetches a repository of 256 MB (1 GB) of large files: its memory at the peak
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks import commits, edits, first_sync, idle, memory, mirror, page, scans, scheduling
from benchmarks.site import Site

WORKLOADS = {
    "first-sync": first_sync.run,
    "commits": commits.run,
    "edits": edits.run,
    "scans": scans.run,
    "idle": idle.run,
    "scheduling": scheduling.run,
    "memory": memory.run,
    "mirror": mirror.run,
}
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", choices=[[], *WORKLOADS], default=[])
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, to try the runner")
    parser.add_argument("--full", action="store_true", help="all sizes and repeats (over an hour)")
    options = parser.parse_args()
    file = RESULTS / ("quick.json" if options.quick else "latest.json")
    found: dict[str, Any] = orjson.loads(file.read_bytes()) if file.exists() else {}
    for name in options.workloads or WORKLOADS:
        about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version()}
        with tempfile.TemporaryDirectory(prefix="undrift-bench-") as folder, Site(Path(folder)) as site:
            found[name] = about | WORKLOADS[name](site, quick=options.quick, full=options.full)
        print(f"{name}: {orjson.dumps(found[name]).decode()}", flush=True)
        RESULTS.mkdir(exist_ok=True)
        file.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    print(page.table(found))
    print(f"written to {file}")
    if not options.quick:
        print(f"written to {page.write(found)}")


if __name__ == "__main__":
    main()
