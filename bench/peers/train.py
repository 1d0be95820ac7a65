"""Gives a binary that counts its ways a mix of work, for a build that is guided by the counts.

usage: python3 bench/peers/train.py BINARY

The workloads are those that are compared with peers, but for those whose size is the point.
"""

import os
import shutil
import sys
import tempfile

import equipoise
from measure import Plan, Proxy, measure
from processes import MeasurementError
from workloads import Held, chosen


LEFT_OUT = ("threads-2", "servers-1000", "routes-10000")
SECONDS = 2


def main():
    """One short round of each."""
    binary = os.path.abspath(sys.argv[1])
    directory = tempfile.mkdtemp(prefix="train-")
    proxy = Proxy("Equipoise", lambda site: equipoise.command(site, binary))
    plan = Plan(1, SECONDS, directory, [proxy], say)
    try:
        for workload in chosen(["all"]):
            if not isinstance(workload, Held) and workload.name not in LEFT_OUT:
                measure(workload, plan)
    except MeasurementError as error:
        sys.exit(f"train: {workload.name}: {error}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def say(workload, *_):
    """How it goes."""
    print(f"train: {workload.title}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
