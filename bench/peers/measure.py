"""Measures one workload: the proxies in turn, round by round, so that all have the machine's good and bad moments."""

import http.client
import os
import resource
import ssl
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace

import equipoise
import haproxy
import nginx
import origins
from processes import Cores, MeasurementError, Running
from sites import Certificate, Site, free_port
from workloads import Held


@dataclass(frozen=True)
class Proxy:
    """One of those that are compared."""

    name: str
    # From a Site to the command that runs it.
    command: object


def proxies(binary, other):
    """Those that are compared, the one that matters last."""
    compared = [Proxy(nginx.NAME, nginx.command), Proxy(haproxy.NAME, haproxy.command)]
    if other:
        compared.append(Proxy("other", lambda site: equipoise.command(site, other)))
    compared.append(Proxy("Equipoise", lambda site: equipoise.command(site, binary)))
    return compared


@dataclass(frozen=True)
class Target:
    """Where a client finds a proxy."""

    port: int
    tls: bool
    # The core that clients run on.
    core: str
    # For a client's files.
    directory: str
    # name=value of a session's cookie.
    cookie: str


@dataclass(frozen=True)
class Plan:
    """How long, and what with."""

    rounds: int
    seconds: int
    directory: str
    compared: list
    say: object


def measure(workload, plan):
    """The rounds of every proxy, by its name."""
    directory = os.path.join(plan.directory, workload.name)
    os.makedirs(directory, exist_ok=True)
    if isinstance(workload, Held):
        return held(workload, plan, directory)
    return worked(workload, plan, directory)


def worked(workload, plan, directory):
    """CPU time, throughput and latency of a workload."""
    cores = Cores.share(workload.features.threads)
    certificate = Certificate.make(directory)
    running, stages = [], []
    try:
        origin, servers = start_origin(workload, directory, cores)
        running.append(origin)
        for proxy in plan.compared:
            site = Site(workload.features, os.path.join(directory, proxy.name), free_port(), servers, certificate)
            stage = Stage(proxy, site, cores)
            running.append(stage.process)
            stages.append(stage)
        results = {stage.proxy.name: [] for stage in stages}
        for stage in stages:
            # Connections to the servers, caches, a session.
            workload.load.run(stage.target, 1)
        for number in range(plan.rounds):
            # Nobody always follows the same one.
            turn = number % len(stages)
            for stage in stages[turn:] + stages[:turn]:
                taken = stage.measure(workload, plan.seconds)
                results[stage.proxy.name].append(taken)
                plan.say(workload, number, stage.proxy.name, f"{taken['user_us'] + taken['kernel_us']:.2f} µs of CPU")
        return results
    finally:
        for process in reversed(running):
            process.stop()


def start_origin(workload, directory, cores):
    """The servers behind."""
    place = os.path.join(directory, "origin")
    if workload.origin is origins.web:
        return origins.web(place, cores.load, workload.features.servers)
    return workload.origin(place, cores.load)


class Stage:
    """A proxy that runs, and the way to it."""

    def __init__(self, proxy, site, cores):
        self.proxy, self.site, self.cores = proxy, site, cores
        output = site.access_log() if site.features.everything and proxy.name == haproxy.NAME else None
        self.process = Running(proxy.command(site), cores.proxy, output)
        try:
            self.process.wait_for(site.port, seconds=60)
            self.target = Target(site.port, site.features.tls, cores.load, site.directory, self.cookie())
        except MeasurementError:
            self.process.stop()
            raise

    def cookie(self):
        """A session's."""
        if not self.site.features.everything:
            return ""
        insecure = ssl._create_unverified_context()
        connection = (
            http.client.HTTPSConnection("127.0.0.1", self.site.port, context=insecure, timeout=10)
            if self.site.features.tls
            else http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=10)
        )
        connection.request("GET", "/shop/", headers={"Host": "localhost"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        cookie = answer.getheader("Set-Cookie")
        if answer.status != 200 or not cookie:
            raise MeasurementError(f"{self.proxy.name} answers {answer.status} and sets no cookie")
        return cookie.split(";")[0]

    def measure(self, workload, seconds):
        """One round."""
        user, kernel = self.process.cpu()
        done = workload.load.run(self.target, seconds)
        user_after, kernel_after = self.process.cpu()
        if not done.requests:
            raise MeasurementError(f"{self.proxy.name} got nothing done")
        if os.path.exists(self.site.access_log()):
            os.truncate(self.site.access_log(), 0)
        resident, proportional = self.process.memory()
        return {
            "requests": done.requests,
            "seconds": done.seconds,
            "user_us": (user_after - user) / done.requests * 1e6,
            "kernel_us": (kernel_after - kernel) / done.requests * 1e6,
            "latency_us": done.latency,
            "rss_kib": resident,
            "pss_kib": proportional,
        }


def held(workload, plan, directory):
    """What a process grows by for each connection. A fresh one each round: nobody profits from what an earlier one freed."""
    # Both ends of a connection may need a descriptor in the proxy, and more are needed besides.
    count = min(workload.count, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 9 // 20 // 500 * 500)
    features = replace(workload.features, connections=count + 128)
    cores = Cores.share(1)
    certificate = Certificate.make(directory)
    results = {proxy.name: [] for proxy in plan.compared}
    origin, servers = origins.web(os.path.join(directory, "origin"), cores.load)
    try:
        # Memory is far steadier than time.
        for number in range(min(plan.rounds, 3)):
            for proxy in plan.compared:
                site = Site(features, os.path.join(directory, proxy.name), free_port(), servers, certificate)
                stage = Stage(proxy, site, cores)
                try:
                    taken = growth(stage, workload.kind, count)
                finally:
                    stage.process.stop()
                results[proxy.name].append(taken)
                plan.say(workload, number, proxy.name, f"{taken['pss_kib']:.1f} KiB")
    finally:
        origin.stop()
    return results


def growth(stage, kind, count):
    """KiB a connection."""
    with Holding(stage, kind, 20):
        settled(stage.process)
    before = settled(stage.process)
    with Holding(stage, kind, count):
        after = settled(stage.process)
    resident, proportional = ((late - early) / count for early, late in zip(before, after))
    return {"rss_kib": resident, "pss_kib": proportional, "connections": count}


def settled(process):
    """What a process has in memory once that no longer changes: what busy connections wait for takes its time to come."""
    last, still = process.memory(), 0
    for _ in range(40):
        time.sleep(0.5)
        now = process.memory()
        still = still + 1 if abs(now[0] - last[0]) < 64 else 0
        last = now
        if still == 4:
            break
    return last


class Holding:
    """Connections that stay open for as long as this lasts."""

    def __init__(self, stage, kind, count):
        command = ["taskset", "-c", stage.cores.load, sys.executable, os.path.join(origins.HERE, "connections.py")]
        command += [kind, str(count), str(stage.site.port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.process.stdout.readline() != b"open\n":
            said = self.process.stderr.read().decode().strip().splitlines()[-1:]
            self.process.wait()
            raise MeasurementError(f"{stage.proxy.name} doesn't hold {count} connections: {' '.join(said)}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate()


def described(workload):
    """A workload as the JSON has it."""
    if isinstance(workload, Held):
        return {"name": workload.name, "title": workload.title, "connections": workload.count}
    return {
        "name": workload.name,
        "title": workload.title,
        "unit": workload.unit,
        "features": asdict(workload.features),
    }
