"""HAProxy as the proxy."""

from sites import GROUP, TLS12_CIPHER, TLS13_SUITE, program

NAME = "HAProxy"
PROGRAM = program("haproxy")


def command(site):
    """Writes the configuration of `site` and says how to run it."""
    return [PROGRAM, "-db", "-f", site.write("haproxy.cfg", configuration(site))]


def configuration(site):
    """The whole file."""
    features = site.features
    # HAProxy writes no log files itself: lines go to its output, which is the file.
    log = "log stdout format raw local0 info" if features.everything else ""
    return f"""global
  nbthread {site.features.threads}
  maxconn {features.connections + 64}
  {log}
  ssl-default-bind-ciphers {TLS12_CIPHER}
  ssl-default-bind-ciphersuites {TLS13_SUITE}
  ssl-default-bind-options ssl-min-ver TLSv1.2
  tune.ssl.default-dh-param 2048
defaults
  mode {"tcp" if features.tcp else "http"}
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout tunnel 600s
frontend web
  bind 127.0.0.1:{site.port}{tls(site)} backlog 4096
  {"" if features.tcp else forwarding(site)}
  {routes(site)}
  default_backend app
{pools(site)}
"""


def tls(site):
    """What is spoken on the socket."""
    if not site.features.tls:
        return ""
    return f" ssl crt {site.certificate.both} curves {GROUP} alpn h2,http/1.1"


def forwarding(site):
    """The fields that servers get, and the log."""
    lines = [
        "option forwardfor",
        "unique-id-format %[uuid]",
        "unique-id-header X-Request-Id",
        f"http-request set-header X-Forwarded-Proto {'https' if site.features.tls else 'http'}",
        "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        "http-request set-header X-Forwarded-Port %[dst_port]",
    ]
    if site.features.everything:
        lines += ["log global", "option httplog"]
    return "\n  ".join(lines)


def routes(site):
    """Which pool takes a request."""
    if site.features.everything:
        return "\n  ".join(f"use_backend app if {{ path_beg {path} }}" for path in ("/api/", "/static/", "/shop/"))
    if site.features.routes:
        hosts = site.write("hosts.map", "".join(f"{host} app{pool}\n" for host, pool in site.hosts()))
        return f"use_backend %[req.hdr(host),lower,map_str({hosts},app)]"
    return ""


def pools(site):
    """The pools."""
    names = ["app"] + [f"app{n}" for n in range(10 if site.features.routes else 0)]
    return "\n".join(pool(site, name) for name in names)


def pool(site, name):
    """One pool."""
    features = site.features
    lines = [f"backend {name}"]
    if not features.tcp:
        lines.append("  http-reuse always")
    if features.everything:
        lines.append("  cookie SERVERID insert indirect nocache httponly")
    for n, server in enumerate(site.servers):
        cookie = f" cookie s{n}" if features.everything else ""
        version = " proto h2" if features.http2_servers else ""
        lines.append(f"  server s{n} {server}{cookie}{version}")
    return "\n".join(lines)
