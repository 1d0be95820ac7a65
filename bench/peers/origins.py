"""The servers behind the proxies."""

import os
import sys

import nginx
from processes import Running
from sites import free_port

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {"64k": 64 * 1024, "1m": 1024 * 1024, "large": 64 * 1024 * 1024}


def web(directory, core, servers=1):
    """nginx: 1 KiB for any path, 64 KiB at /64k, 1 MiB at /1m, 64 MiB at /large; /upload reads what is sent to it.

    Returns the process and the addresses that it serves at, as many as there are to be servers.
    """
    os.makedirs(directory, exist_ok=True)
    for name, size in SIZES.items():
        with open(os.path.join(directory, name), "wb") as file:
            file.truncate(size)
    port = free_port()
    addresses = [f"127.1.{n // 250}.{n % 250 + 1}:{port}" for n in range(servers)]
    if servers == 1:
        addresses = [f"127.0.0.1:{port}"]
    # The first one may be asked by /upload.
    configuration = f"""{nginx.top(directory, 1, 12000)}
http {{
  {nginx.TEMPORARY.format(directory=directory)}
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; send_timeout 600s; sendfile on; open_file_cache max=100;
  server {{
    {" ".join(f"listen {address} backlog=4096;" for address in addresses)}
    root {directory};
    default_type text/plain;
    location / {{ return 200 "{"x" * 1024}"; }}
    {" ".join(f"location = /{name} {{ }}" for name in SIZES)}
    # The whole body is read before the other location is asked, which has the answer.
    location = /upload {{
      client_max_body_size 0; client_body_buffer_size 2m;
      proxy_pass http://{addresses[0]}/read; proxy_pass_request_body off; proxy_set_header Content-Length "";
    }}
  }}
}}
"""
    path = os.path.join(directory, "origin.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(configuration)
    running = Running([nginx.PROGRAM, "-p", directory, "-c", path], core)
    return running.wait_for(port, addresses[0].split(":")[0]), addresses


def grpc_like(directory, core):
    """nghttpd: HTTP/2 by prior knowledge; what is posted comes back, with a trailer."""
    os.makedirs(directory, exist_ok=True)
    port = free_port()
    running = Running(
        ["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", directory, "--echo-upload"]
        + ["--trailer", "grpc-status: 0", "-m", "1000", str(port)],
        core,
    )
    return running.wait_for(port), [f"127.0.0.1:{port}"]


def websocket(_directory, core):
    """websocket.py: every message comes back."""
    port = free_port()
    running = Running([sys.executable, os.path.join(HERE, "websocket.py"), "serve", str(port)], core)
    return running.wait_for(port), [f"127.0.0.1:{port}"]
