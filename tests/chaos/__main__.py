"""`make chaos`: five minutes of faults, 200 jobs, and every promise of docs/operations.md checked.

    PYTHONPATH=tests python -m chaos [--seed 7] [--seconds 300] [--jobs 200] [--database postgresql] [--only FAULT ...]

Prints its seed first: with the same seed the same faults come in the same order, at about the same moments. On a
violation it exits with 1 and keeps its folder: history.jsonl tells what was asked, answered and done to the service and
when, service.log is what every process said, data/ is the data folder as it was left. Look up a violation's job id in
both files; `--only` tries one kind of fault alone.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from chaos.faults import FAULTS
from chaos.storm import Storm, run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--settle-seconds", type=float, default=900.0)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    asked = parser.parse_args()
    sys.stdout.write(f"chaos: --seed {asked.seed} --database {asked.database}\n")
    sys.stdout.flush()
    folder = Path(tempfile.mkdtemp(prefix="genconvnet-chaos-"))
    storm = Storm(asked.seed, asked.seconds, asked.jobs, asked.database, asked.settle_seconds, asked.only)
    report = run(storm, folder)
    sys.stdout.write(report.table())
    if report.violations:
        sys.stdout.write(f"kept: {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
