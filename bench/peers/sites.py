"""What every proxy of one workload is told to do, in terms that all of them have.

nginx.py, haproxy.py and equipoise.py each write it down in their own language; whatever one of them is
told, the others are told too.
"""

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass

# One cipher for all, so that nobody is measured by another one's.
TLS13_SUITE = "TLS_AES_128_GCM_SHA256"
TLS12_CIPHER = "ECDHE-ECDSA-AES128-GCM-SHA256"
# OpenSSL 3.0, which Debian's peers have, knows no X25519MLKEM768.
GROUP = "X25519"

# Idle connections to servers that are kept: more than there are ever requests at once. HAProxy keeps as many as it needs.
KEPT_CONNECTIONS = 1024


@dataclass(frozen=True)
class Features:
    """What a workload wants done besides passing bytes on."""

    # Sessions by cookie, routes, metrics and an access log in a file.
    everything: bool = False
    tls: bool = False
    # Bytes as they come, instead of HTTP.
    tcp: bool = False
    # Servers that speak HTTP/2.
    http2_servers: bool = False
    servers: int = 1
    # Host names that lead to ten pools. 0: no routes.
    routes: int = 0
    threads: int = 1
    # Client connections that are held at once.
    connections: int = 4096


@dataclass
class Site:
    """One proxy's part in a workload: where it listens, where its servers are, and a directory of its own."""

    features: Features
    directory: str
    port: int
    # host:port of each server.
    servers: list
    certificate: "Certificate"

    def __post_init__(self):
        os.makedirs(self.directory, exist_ok=True)

    def path(self, name):
        """A file of this proxy's own."""
        return os.path.join(self.directory, name)

    def write(self, name, text):
        """Writes such a file, and says where it is."""
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def hosts(self):
        """Every host name with a route, and the number of the pool that it leads to."""
        return [(host_name(n), n % 10) for n in range(self.features.routes)]

    def access_log(self):
        """The file of the access log."""
        return self.path("access.log")


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost: in two files, and in one."""

    cert: str
    key: str
    both: str

    @classmethod
    def make(cls, directory):
        """Makes one, ECDSA on P-256, as everybody should have."""
        cert, key, both = (os.path.join(directory, name) for name in ("site.pem", "site.key", "both.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            + ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
            + ["-keyout", key, "-out", cert],
            check=True,
            capture_output=True,
        )
        with open(both, "w", encoding="utf-8") as file:
            for part in (cert, key):
                with open(part, encoding="utf-8") as text:
                    file.write(text.read())
        return cls(cert, key, both)


def host_name(n):
    """The host name of route `n`."""
    return f"shop-{n}.example.com"


def free_port():
    """A port of loopback that nobody has now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def program(name):
    """Where a program is; daemons are in directories that not everybody's PATH has."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") or name
