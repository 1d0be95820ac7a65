"""nginx as the proxy."""

import os

from sites import GROUP, KEPT_CONNECTIONS, TLS12_CIPHER, TLS13_SUITE, program

NAME = "nginx"
PROGRAM = program("nginx")
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

# As root nginx would become a user who may not read the working directory.
USER = "user root;" if os.geteuid() == 0 else ""
TEMPORARY = " ".join(
    f"{kind}_temp_path {{directory}}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)


def command(site):
    """Writes the configuration of `site` and says how to run it."""
    configuration = site.write("nginx.conf", stream(site) if site.features.tcp else http(site))
    return [PROGRAM, "-p", site.directory, "-c", configuration]


def top(directory, threads, connections):
    """What every nginx here begins with, origins too."""
    return f"""{USER} worker_processes {threads}; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log crit;
events {{ worker_connections {2 * connections + 512}; }}
"""


def stream(site):
    """Bytes as they come."""
    module = f"load_module {STREAM_MODULE};\n" if os.path.exists(STREAM_MODULE) else ""
    return f"""{module}{top(site.directory, site.features.threads, site.features.connections)}
stream {{
  upstream app {{ {" ".join(f"server {server};" for server in site.servers)} }}
  server {{ listen 127.0.0.1:{site.port} backlog=4096; proxy_pass app; }}
}}
"""


def http(site):
    """Requests."""
    features = site.features
    return f"""{top(site.directory, site.features.threads, features.connections)}
http {{
  {TEMPORARY.format(directory=site.directory)}
  access_log {f"{site.access_log()} combined buffer=64k flush=1s" if features.everything else "off"};
  keepalive_requests 1000000000; keepalive_timeout 600s; send_timeout 600s; client_max_body_size 0;
  map_hash_max_size 65536; map_hash_bucket_size 128;
  map $http_upgrade $connection_field {{ default upgrade; "" ""; }}
  {upstreams(site)}
  server {{
    {listen(site)}
    {session(site)}
    {locations(site)}
  }}
}}
"""


def listen(site):
    """The socket and, with TLS, what is spoken on it."""
    if not site.features.tls:
        return f"listen 127.0.0.1:{site.port} backlog=4096;"
    return f"""listen 127.0.0.1:{site.port} ssl http2 backlog=4096;
    ssl_certificate {site.certificate.cert}; ssl_certificate_key {site.certificate.key};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {TLS12_CIPHER}; ssl_conf_command Ciphersuites {TLS13_SUITE};
    ssl_ecdh_curve {GROUP}; ssl_session_tickets on;"""


def upstreams(site):
    """The pools. nginx without a licence has no sessions by cookie: a map leads to a pool of one server each."""
    keep = f"keepalive {max(KEPT_CONNECTIONS, 2 * len(site.servers))}; keepalive_requests 1000000000;"
    pools = [upstream("app", site.servers, keep)]
    if site.features.everything:
        pools += [upstream(f"only_s{n}", [server], keep) for n, server in enumerate(site.servers)]
        bound = " ".join(f'"s{n}" only_s{n};' for n in range(len(site.servers)))
        names = " ".join(f'"{server}" s{n};' for n, server in enumerate(site.servers))
        pools.append(f"map $cookie_serverid $pool {{ default app; {bound} }}")
        pools.append(f"map $upstream_addr $server_id {{ {names} }}")
        pools.append('map $cookie_serverid $set_cookie { default ""; "" "SERVERID=$server_id; Path=/; HttpOnly"; }')
    if site.features.routes:
        pools += [upstream(f"app{n}", site.servers, keep) for n in range(10)]
        hosts = "\n".join(f"{host} app{pool};" for host, pool in site.hosts())
        pools.append(f"map $host $pool {{ default app; {hosts} }}")
    return "\n  ".join(pools)


def upstream(name, servers, keep):
    """One pool."""
    return f"upstream {name} {{ {' '.join(f'server {server};' for server in servers)} {keep} }}"


def session(site):
    """The cookie of a session."""
    return "add_header Set-Cookie $set_cookie;" if site.features.everything else ""


def locations(site):
    """Where requests go, and with which fields."""
    features = site.features
    if features.http2_servers:
        return "location / { grpc_pass grpc://app; grpc_set_header X-Request-Id $request_id; }"
    pool = "$pool" if features.everything or features.routes else "app"
    passed = f"""proxy_pass http://{pool}; proxy_http_version 1.1; proxy_set_header Connection $connection_field;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Request-Id $request_id;
      proxy_request_buffering off; proxy_max_temp_file_size 0; proxy_read_timeout 600s;"""
    paths = ("/api/", "/static/", "/shop/", "/") if features.everything else ("/",)
    return "\n    ".join(f"location {path} {{ {passed} }}" for path in paths)
