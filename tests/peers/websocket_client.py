"""100 sockets at once, five messages each, compressed and not. Usage: websocket_client.py ws|wss PORT CA"""

import asyncio
import os
import ssl
import sys

import websockets


async def talk(url, tls, n):
    compression = "deflate" if n % 2 else None
    heard = 0
    async with websockets.connect(url, ssl=tls, compression=compression, max_size=None,
                                  server_hostname="a.test" if tls else None) as socket:
        for message in ["", "text with an ü", b"\x00\xff" * 1000, os.urandom(200_000), "x" * 300_000]:
            await socket.send(message)
            assert await socket.recv() == message
            heard += 1
        # In fragments.
        await socket.send(["one ", "two ", "three"])
        assert await socket.recv() == "one two three"
        await asyncio.wait_for(await socket.ping(b"there?"), 10)
        await socket.close(code=4001, reason="done")
        assert socket.close_code == 4001, socket.close_code
    return heard


async def main():
    scheme, port, ca = sys.argv[1:]
    tls = None
    if scheme == "wss":
        tls = ssl.create_default_context(cafile=ca)
    url = f"{scheme}://127.0.0.1:{port}/chat"
    heard = await asyncio.gather(*(talk(url, tls, n) for n in range(100)))
    print(f"{len(heard)} sockets, {sum(heard)} messages")


asyncio.run(main())
