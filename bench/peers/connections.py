"""Connections that are held: idle ones that have served a request, and busy ones whose client takes nothing.

usage: connections.py KIND COUNT PORT      KIND: http1, tls, http2, busy

Opens them, prints "open", and holds them until its input ends.
"""

import socket
import ssl
import sys

TLS = ssl.create_default_context()
TLS.check_hostname, TLS.verify_mode = False, ssl.CERT_NONE

REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Of the answer's body.
SIZE = 1024


def frame(kind, flags, stream, payload=b""):
    """An HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    """A header field that isn't to be indexed, in HPACK."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


BLOCK = b"".join(
    literal(*field)
    for field in [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", b"/small")]
)
# The preface, SETTINGS, HEADERS that end a stream.
HTTP2_REQUEST = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 5, 1, BLOCK)


def receive(sock, complete):
    """Reads until `complete` says so of what has come."""
    come = b""
    while not complete(come):
        more = sock.recv(65536)
        if not more:
            raise SystemExit("a connection was closed")
        come += more


def open_one(kind, port):
    """One connection that has served a request, or is about to."""
    sock = socket.create_connection(("127.0.0.1", port))
    if kind == "busy":
        # Reads nothing: the answer waits wherever there is room for it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return sock
    if kind != "http1":
        sock = TLS.wrap_socket(sock)
    if kind == "http2":
        sock.sendall(HTTP2_REQUEST)
        receive(sock, lambda come: come.count(b"x") >= SIZE)
        sock.sendall(frame(4, 1, 0))
    else:
        sock.sendall(REQUEST)
        receive(sock, lambda come: len(come.partition(b"\r\n\r\n")[2]) >= SIZE)
    return sock


def main(kind, count, port):
    """Opens them all."""
    TLS.set_alpn_protocols(["h2"] if kind == "http2" else ["http/1.1"])
    held = [open_one(kind, port) for _ in range(count)]
    print("open", flush=True)
    sys.stdin.read()
    del held


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
