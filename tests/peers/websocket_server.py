"""Says every message back. Usage: websocket_server.py PORT"""

import asyncio
import sys

import websockets


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def main():
    port = int(sys.argv[1])
    # What it offers to compress with is between the ends; a proxy passes it on.
    async with websockets.serve(echo, "127.0.0.1", port, reuse_port=False, max_size=None):
        await asyncio.Future()


asyncio.run(main())
