"""What is measured: each workload by name, with what it wants of the proxies, of the servers and of the clients."""

import fnmatch
from dataclasses import dataclass, field
from typing import Callable

import origins
from load import BROWSER, H2load, Handshakes, WebSocket, Wrk
from processes import MeasurementError
from sites import Features


@dataclass(frozen=True)
class Workload:
    """Work whose CPU time is measured, a unit at a time."""

    name: str
    title: str
    load: object
    features: Features = field(default_factory=Features)
    origin: Callable = origins.web
    # What is counted.
    unit: str = "request"


@dataclass(frozen=True)
class Held:
    """Connections whose memory is measured."""

    name: str
    title: str
    # As connections.py calls it.
    kind: str
    count: int
    features: Features


EVERYTHING = Wrk(path="/shop/items/4711?ref=home", headers=BROWSER)


def held(name, title, kind, count, tls=False):
    """One of those."""
    return Held(name, title, kind, count, Features(tls=tls))


WORKLOADS = [
    Workload("keepalive", "HTTP/1.1 kept alive, 1 KiB", Wrk()),
    Workload("everything", "the same, everything on", EVERYTHING, Features(everything=True, servers=2)),
    Workload(
        "everything-tls",
        "the same over TLS, everything on",
        EVERYTHING,
        Features(everything=True, servers=2, tls=True),
    ),
    Workload("tls", "TLS kept alive, 1 KiB", Wrk(), Features(tls=True)),
    Workload("short", "short connections, 1 KiB", Wrk(headers={"Connection": "close"}), unit="connection"),
    Workload("64k", "64 KiB", Wrk(path="/64k")),
    Workload("1m", "1 MiB", Wrk(path="/1m", connections=16)),
    Workload("1m-tls", "1 MiB over TLS", Wrk(path="/1m", connections=16), Features(tls=True)),
    Workload("upload", "upload of 1 MiB", Wrk(path="/upload", connections=16, upload=1024 * 1024)),
    Workload("h2", "HTTP/2 over TLS, 1 KiB, 16 × 32 streams", H2load(), Features(tls=True)),
    Workload(
        "grpc",
        "HTTP/2 to HTTP/2, 64 bytes posted, trailers",
        H2load(path="/echo", upload=64, headers={"Content-Type": "application/grpc", "TE": "trailers"}),
        Features(tls=True, http2_servers=True),
        origins.grpc_like,
    ),
    *(
        Workload(
            f"handshake-{number}-{word}",
            f"handshake, TLS {version}, {word}",
            Handshakes(option, session),
            Features(tls=True),
            unit="connection",
        )
        for number, version, option in (("12", "1.2", "tls1_2"), ("13", "1.3", "tls1_3"))
        for word, session in (("new", "new"), ("resumed", "reuse"))
    ),
    Workload("websocket", "WebSocket messages, 64 bytes there and back", WebSocket(), origin=origins.websocket, unit="message"),
    Workload("tcp", "TCP mode, 1 KiB", Wrk(), Features(tcp=True)),
    Workload(
        "tcp-short",
        "TCP mode, short connections",
        Wrk(headers={"Connection": "close"}),
        Features(tcp=True),
        unit="connection",
    ),
    Workload("tcp-1m", "TCP mode, 1 MiB", Wrk(path="/1m", connections=16), Features(tcp=True)),
    Workload("tcp-upload", "TCP mode, upload of 1 MiB", Wrk(path="/upload", connections=16, upload=1024 * 1024), Features(tcp=True)),
    Workload("threads-2", "HTTP/1.1 kept alive, 1 KiB, 2 threads", Wrk(), Features(threads=2)),
    Workload("servers-1000", "1000 servers", Wrk(), Features(servers=1000)),
    Workload("routes-10000", "10,000 routes by host", Wrk(hosts=10000), Features(routes=10000)),
    held("idle", "idle, HTTP/1.1", "http1", 10000),
    held("idle-tls", "idle, TLS", "tls", 10000, tls=True),
    held("idle-h2", "idle, HTTP/2 over TLS", "http2", 10000, tls=True),
    held("busy", "busy: a client that takes nothing", "busy", 1000),
]

# What the word "core" stands for: what is worth a look after every change.
CORE = "keepalive everything everything-tls tls short 64k 1m h2 idle* busy".split()


def chosen(words):
    """The workloads that the words name; a word may be "all", "core", a name, or a pattern such as idle*."""
    wanted = set()
    for word in words:
        patterns = {"all": ["*"], "core": CORE}.get(word, [word])
        names = {workload.name for workload in WORKLOADS for pattern in patterns if fnmatch.fnmatch(workload.name, pattern)}
        if not names:
            raise MeasurementError(f"no workload {word}; there are {', '.join(w.name for w in WORKLOADS)}, core and all")
        wanted |= names
    return [workload for workload in WORKLOADS if workload.name in wanted]
