"""`make chaos`: five minutes of faults, 200 jobs, and every promise of docs/operations.md checked.

    PYTHONPATH=tests python -m chaos [--seed 7] [--seconds 300] [--jobs 200] [--database postgresql] [--only FAULT ...]

It prints its seed first: the same seed causes the same faults in the same order, at about the same moments. On a
violation it exits with 1 and keeps its folder: history.jsonl has the requests, answers and faults with their times,
service.log is the log of all processes, data/ is the data folder. Look up a violation's job id in both files; `--only`
causes one kind of fault alone.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from chaos.faults import FAULTS
from chaos.run import ChaosSettings, run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--settle-seconds", type=float, default=900.0)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    given = parser.parse_args()
    sys.stdout.write(f"chaos: --seed {given.seed} --database {given.database}\n")
    sys.stdout.flush()
    folder = Path(tempfile.mkdtemp(prefix="genconvnet-chaos-"))
    settings = ChaosSettings(given.seed, given.seconds, given.jobs, given.database, given.settle_seconds, given.only)
    report = run(settings, folder)
    sys.stdout.write(report.table())
    if report.violations:
        sys.stdout.write(f"kept: {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
