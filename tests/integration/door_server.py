"""Passes connections on to a server: door_server.py PORT HOST PORT [CERTIFICATE]. While it is gone, so is the server.

With a certificate (a PEM file that holds its key too) it speaks TLS to those who come. Runs in a pod, with the standard
library.
"""

import asyncio
import contextlib
import ssl
import sys


async def main() -> None:
    """Serve until killed."""
    port, host, target_port, *certificate = sys.argv[1:]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside_reader, inside_writer = await asyncio.open_connection(host, int(target_port))
        await asyncio.gather(copy(reader, inside_writer), copy(inside_reader, writer))

    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate[0])
    async with await asyncio.start_server(serve, port=int(port), ssl=context) as server:
        await server.serve_forever()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what is read, to the end."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while content := await reader.read(1 << 16):
            writer.write(content)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(main())
