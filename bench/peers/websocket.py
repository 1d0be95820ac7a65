"""WebSocket messages (RFC 6455): a server that sends each one back, and a client that counts them.

usage: websocket.py serve PORT
       websocket.py load PORT CONNECTIONS SECONDS     prints {"requests", "seconds", "latencies_us"} as JSON

Each connection has one message of 64 bytes on its way at a time.
"""

import asyncio
import base64
import hashlib
import json
import os
import sys
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PAYLOAD = b"m" * 64
MASK = b"\x37\xfa\x21\x3d"
MASKED = bytes(byte ^ MASK[n % 4] for n, byte in enumerate(PAYLOAD))
# A final text frame, masked as a client's has to be, and the same from a server.
FROM_CLIENT = b"\x81" + bytes([0x80 | len(PAYLOAD)]) + MASK + MASKED
FROM_SERVER = b"\x81" + bytes([len(PAYLOAD)]) + PAYLOAD


class Server(asyncio.Protocol):
    """One connection of the server."""

    def connection_made(self, transport):
        self.transport = transport
        self.come = b""
        self.upgraded = False

    def data_received(self, data):
        self.come += data
        if not self.upgraded:
            head, end, rest = self.come.partition(b"\r\n\r\n")
            if not end:
                return
            self.come, self.upgraded = rest, True
            key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
            accept = base64.b64encode(hashlib.sha1(key.split(b": ")[1] + GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
        whole = len(self.come) // len(FROM_CLIENT)
        if whole:
            assert self.come.startswith(FROM_CLIENT)
            self.come = self.come[whole * len(FROM_CLIENT) :]
            self.transport.write(FROM_SERVER * whole)


class Client(asyncio.Protocol):
    """One connection of the client."""

    def __init__(self, latencies):
        self.latencies = latencies

    def connection_made(self, transport):
        self.transport = transport
        self.come = b""
        self.sent = None
        transport.write(
            b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(os.urandom(16)) + b"\r\n\r\n"
        )

    def data_received(self, data):
        self.come += data
        now = time.perf_counter()
        if self.sent is None:
            head, end, self.come = self.come.partition(b"\r\n\r\n")
            if not end:
                self.come = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head
        elif len(self.come) < len(FROM_SERVER):
            return
        else:
            assert self.come == FROM_SERVER
            self.come = b""
            self.latencies.append(round((now - self.sent) * 1e6))
        self.sent = now
        self.transport.write(FROM_CLIENT)


async def serve(port):
    """Serves until it is killed."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


async def load(port, connections, seconds):
    """Sends messages for so long."""
    latencies = []
    loop = asyncio.get_running_loop()
    held = [
        await loop.create_connection(lambda: Client(latencies), "127.0.0.1", port) for _ in range(connections)
    ]
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    taken = time.monotonic() - begun
    for transport, _ in held:
        if transport.is_closing():
            raise SystemExit("a connection was closed")
        transport.abort()
    print(json.dumps({"requests": len(latencies), "seconds": taken, "latencies_us": latencies}))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(int(sys.argv[2])))
    else:
        asyncio.run(load(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
