"""The clients: each asks for something as fast as it is answered, and says how much was done, and how fast."""

import json
import os
import re
import sys
from dataclasses import dataclass, field
from typing import Optional

from processes import MeasurementError, run_pinned


HERE = os.path.dirname(os.path.abspath(__file__))

# What Chromium sends for a page.
BROWSER = {
    "Connection": "keep-alive",
    "Cache-Control": "max-age=0",
    "sec-ch-ua": '"Chromium";v="130", "Not?A_Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Referer": "http://localhost/shop/",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9,de;q=0.8",
    "Cookie": "theme=dark; _ga=GA1.2.1234567890.1234567890",
}


@dataclass
class Done:
    """What a client got done."""

    # Requests, connections or messages.
    requests: int
    seconds: float
    # Quantiles of the time that one takes, in microseconds: p50, p99, p999. None where the client can't tell.
    latency: Optional[dict] = None


@dataclass(frozen=True)
class Wrk:
    """HTTP/1 by wrk, over TLS or not."""

    path: str = "/1k"
    connections: int = 32
    headers: dict = field(default_factory=dict)
    upload: int = 0
    hosts: int = 0

    def run(self, target, seconds):
        """Asks for so long."""
        headers = dict(self.headers)
        if target.cookie:
            headers["Cookie"] = "; ".join(filter(None, [headers.get("Cookie"), target.cookie]))
        command = ["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["-s", os.path.join(HERE, "wrk.lua")]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        command += [f"{'https' if target.tls else 'http'}://127.0.0.1:{target.port}{self.path}", "--"]
        command += [f"upload={self.upload}"] if self.upload else []
        command += [f"hosts={self.hosts}"] if self.hosts else []
        said = json.loads(run_pinned(command, target.core, seconds + 30).strip().splitlines()[-1])
        failed = said.pop("failed")
        if failed > said["requests"] / 1000:
            raise MeasurementError(f"{failed} of {said['requests']} requests failed")
        return Done(said.pop("requests"), said.pop("seconds"), said)


@dataclass(frozen=True)
class H2load:
    """HTTP/2 by h2load: by ALPN, or by prior knowledge."""

    path: str = "/1k"
    connections: int = 16
    streams: int = 32
    headers: dict = field(default_factory=dict)
    # Bytes that are posted. 0: GET.
    upload: int = 0

    def run(self, target, seconds):
        """Asks for so long."""
        log = os.path.join(target.directory, "h2load.log")
        command = ["h2load", f"-c{self.connections}", f"-m{self.streams}", "-t1", f"-D{seconds}", f"--log-file={log}"]
        for name, value in self.headers.items():
            command += ["-H", f"{name}: {value}"]
        if self.upload:
            body = os.path.join(target.directory, "h2load.body")
            with open(body, "wb") as file:
                file.write(b"u" * self.upload)
            command += ["-d", body]
        command += ["--npn-list=h2"] if target.tls else ["--no-tls-proto=h2c"]
        command.append(f"{'https' if target.tls else 'http'}://127.0.0.1:{target.port}{self.path}")
        said = run_pinned(command, target.core, seconds + 30)
        taken = sorted(answered(log))
        os.remove(log)
        statuses = re.search(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said, re.MULTILINE)
        good, *bad = (int(count) for count in statuses.groups())
        if sum(bad) or not taken:
            raise MeasurementError(f"{sum(bad)} of {good} requests failed")
        return Done(len(taken), seconds, quantiles(taken))


def answered(log):
    """Of a log of h2load, how long the successful ones took, in microseconds."""
    with open(log, encoding="ascii") as file:
        for line in file:
            _, status, taken = line.split("\t")
            if status == "200":
                yield int(taken)


def quantiles(values):
    """Those of sorted values."""
    last = len(values) - 1
    return {
        name: values[min(last, int(part * len(values)))] for name, part in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
    }


@dataclass(frozen=True)
class Handshakes:
    """A connection with one request, and then the next, by `openssl s_time`."""

    # tls1_2, tls1_3
    version: str
    # new, reuse
    session: str

    def run(self, target, seconds):
        """Connects for so long."""
        said = run_pinned(
            ["openssl", "s_time", "-connect", f"127.0.0.1:{target.port}", f"-{self.version}", f"-{self.session}"]
            + ["-www", "/1k", "-time", str(seconds)],
            target.core,
            seconds + 30,
        )
        # Of the two such lines of -reuse the last one counts: the first is the session's making.
        found = re.findall(r"^(\d+) connections in (\d+) real seconds", said, re.MULTILINE)
        if not found or int(found[-1][0]) == 0:
            raise MeasurementError("no connection was made")
        return Done(int(found[-1][0]), seconds)


@dataclass(frozen=True)
class WebSocket:
    """Messages by websocket.py."""

    connections: int = 32

    def run(self, target, seconds):
        """Sends for so long."""
        command = [sys.executable, os.path.join(HERE, "websocket.py"), "load", str(target.port)]
        said = json.loads(run_pinned(command + [str(self.connections), str(seconds)], target.core, seconds + 30))
        return Done(said["requests"], said["seconds"], quantiles(sorted(said["latencies_us"])))
