"""Equipoise as the proxy."""

import json

from sites import GROUP, KEPT_CONNECTIONS, TLS12_CIPHER, TLS13_SUITE, free_port


def command(site, program):
    """Writes the configuration of `site` and says how to run it."""
    # JSON is YAML.
    return [program, "run", "-c", site.write("equipoise.yaml", json.dumps(configuration(site), indent=1))]


def configuration(site):
    """The whole file."""
    features = site.features
    tree = {
        "server": {
            "threads": site.features.threads,
            "state_dir": site.path("state"),
            "max_connections": features.connections + 64,
        },
        "logging": {
            "level": "error",
            "access_log": {"path": site.access_log() if features.everything else "off"},
        },
        "listeners": {"web": listener(site)},
        "pools": {name: pool(site) for name in pool_names(site)},
    }
    if features.everything:
        tree["admin"] = {"bind": f"127.0.0.1:{free_port()}"}
    return tree


def listener(site):
    """Where clients connect."""
    features = site.features
    tree = {"bind": f"127.0.0.1:{site.port}", "pool": "app"}
    if features.tcp:
        return tree | {"protocol": "tcp"}
    tree["http"] = {
        "keepalive_requests": 0,
        "keepalive_timeout": "600s",
        "send_timeout": "600s",
        "http2": {"idle_timeout": "600s"},
    }
    if features.tls:
        tree["protocol"] = "https"
        tree["tls"] = {
            "certificates": [{"cert": site.certificate.cert, "key": site.certificate.key}],
            "groups": GROUP,
            "ciphers": TLS12_CIPHER,
            "cipher_suites": TLS13_SUITE,
        }
    if features.everything:
        tree["routes"] = [{"match": {"path_prefix": path}, "pool": "app"} for path in ("/api", "/static", "/shop")]
    if features.routes:
        tree["routes"] = [{"match": {"host": [host]}, "pool": f"app{number}"} for host, number in site.hosts()]
    return tree


def pool_names(site):
    """The pools."""
    return ["app"] + [f"app{n}" for n in range(10 if site.features.routes else 0)]


def pool(site):
    """One of them."""
    features = site.features
    tree = {
        "servers": [{"name": f"s{n}", "address": server} for n, server in enumerate(site.servers)],
        # Neither nginx nor HAProxy checks here.
        "health_check": None,
        "keepalive": {"connections": KEPT_CONNECTIONS},
    }
    if features.everything:
        tree["persistence"] = {"type": "cookie_insert", "timeout": "1h"}
    if features.http2_servers:
        tree["http2"] = True
    return tree
