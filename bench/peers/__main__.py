"""Equipoise beside nginx and HAProxy: the same work for each, and what it costs them.

usage: python3 bench/peers [--workloads WORD…] [--rounds N] [--seconds N] [--binary FILE] [--other FILE] [--record]

Proxies have a core of their own, clients and servers another one. What counts is the CPU time a request and its ratio to
a peer's of the same round: clocks are noisy, and machines differ. Everything runs on loopback, and is ended by its id.
"""

import argparse
import datetime
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile

import haproxy
import nginx
from measure import Plan, described, measure, proxies
from plot import svg
from processes import MeasurementError
from report import markdown
from workloads import WORKLOADS, chosen

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "performance.md")
PICTURE = os.path.join(ROOT, "docs", "performance.svg")
MARKS = ("<!-- bench-peers: begin -->", "<!-- bench-peers: end -->")


def main():
    """Measures, and writes down what came out after every workload, so that a run that is cut short is no loss."""
    options = arguments()
    if options.list:
        for workload in WORKLOADS:
            print(f"{workload.name:22} {workload.title}")
        return
    workloads = chosen(options.workloads.replace(",", " ").split())
    descriptors()
    os.makedirs(options.output, exist_ok=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(options),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "workloads": [],
    }
    directory = tempfile.mkdtemp(prefix="bench-peers-")
    failed = False
    try:
        plan = Plan(options.rounds, options.seconds, directory, proxies(options.binary, options.other), say)
        for workload in workloads:
            try:
                rounds = measure(workload, plan)
            except MeasurementError as error:
                print(f"{workload.name}: {error}", file=sys.stderr, flush=True)
                failed = True
                continue
            result["workloads"].append(described(workload) | {"rounds": rounds})
            result["machine"]["load"] = max(result["machine"]["load"], os.getloadavg()[0])
            write(result, options.output)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if result["workloads"]:
        print("\n" + markdown(result))
        print(f"Written to {options.output}: results.json, results.md, results.svg")
        if options.record:
            record(result)
    sys.exit(1 if failed else 0)


def arguments():
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="bench/peers", description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="list the workloads, and do nothing else")
    parser.add_argument("--workloads", default="all", help="names, patterns, core or all; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--seconds", type=int, default=4, help="of each proxy's part of a round; default: 4")
    parser.add_argument("--binary", default=os.path.join(ROOT, "target", "release", "equipoise"))
    parser.add_argument("--other", default="", help="another Equipoise, to compare it with")
    parser.add_argument("--output", default=os.path.join(ROOT, "target", "bench-peers"))
    parser.add_argument("--record", action="store_true", help="put the results into docs/performance.md")
    options = parser.parse_args()
    if options.list:
        return options
    for binary in filter(None, (options.binary, options.other)):
        if not os.access(binary, os.X_OK):
            parser.error(f"{binary} is no program: `make` builds one")
    return options


def descriptors():
    """Thousands of connections want more descriptors than a login has."""
    wanted = 65536
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        except (ValueError, OSError):
            wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def machine():
    """What the figures are from."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    return {
        "cpu": model.group(1).strip() if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        # The greatest during the run, to know how far to trust it.
        "load": os.getloadavg()[0],
    }


def versions(options):
    """Which program is which."""

    def first(command, pattern):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(pattern, done.stdout + done.stderr)
        return found.group(1) if found else "?"

    found = {
        "nginx": first([nginx.PROGRAM, "-v"], r"nginx/(\S+)"),
        "HAProxy": first([haproxy.PROGRAM, "-v"], r"version (\d[\d.]*)"),
        "Equipoise": first([options.binary, "--version"], r"(\d\S*)"),
    }
    if options.other:
        found["other"] = "Equipoise " + first([options.other, "--version"], r"(\d\S*)")
    return found


def say(workload, number, name, what):
    """How it goes."""
    print(f"{workload.name:18} round {number + 1}  {name:10} {what}", file=sys.stderr, flush=True)


def write(result, directory):
    """The results in three forms."""
    texts = {"results.json": json.dumps(result, indent=1) + "\n", "results.md": markdown(result), "results.svg": svg(result)}
    for name, text in texts.items():
        if text:
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(text)


def record(result):
    """Puts them between the marks in docs/performance.md, and the picture beside it."""
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    text, picture = markdown(result), svg(result)
    if picture:
        text = f"![What each takes, relative to nginx]({os.path.basename(PICTURE)})\n\n{text}"
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(f"{before}{MARKS[0]}\n{text}{MARKS[1]}{after}")
    if picture:
        with open(PICTURE, "w", encoding="utf-8") as file:
            file.write(picture)
    print(f"Recorded in {os.path.relpath(PAGE, ROOT)}")


if __name__ == "__main__":
    main()
