# Copyright The gatecast Authors
# SPDX-License-Identifier: Apache-2.0

"""A driver: one connection of Python's websockets, told what to do in JSON lines
on standard input, telling what it sees in JSON lines on standard output. The
protocol is in ../driver_test.go. At the end of input it is gone, without a
goodbye."""

import asyncio
import base64
import http.client
import json
import os
import ssl
import sys
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatusCode
from websockets.legacy.client import WebSocketClientProtocol, connect


def report(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def tls(dial):
    context = ssl.create_default_context(cafile=dial.get("ca"))
    if dial.get("insecure"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if dial.get("maxTLS") == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def headers(dial):
    sent = dict(dial.get("headers") or {})
    if "apiKey" in dial:
        sent["api-key"] = dial["apiKey"]
    return sent


def plain(pairs):
    seen = {}
    for name, value in pairs:
        name = name.lower()
        seen[name] = seen[name] + ", " + value if name in seen else value
    return seen


class Connection(WebSocketClientProtocol):
    """Shows the pings, and the body of a refusal, which the library leaves unread."""

    refusal = b""

    async def pong(self, data=b""):
        report("ping")
        await super().pong(data)

    async def read_http_response(self):
        status, received = await super().read_http_response()
        if status != 101:
            Connection.refusal = await self.reader.readexactly(int(received.get("Content-Length", "0")))
        return status, received


def ask(dial):
    url = urlsplit(dial["url"])
    asked = http.client.HTTPSConnection(url.hostname, url.port, context=tls(dial))
    asked.request(dial["method"], url.path, dial.get("body"), headers(dial))
    answer = asked.getresponse()
    report("response", status=answer.status, headers=plain(answer.getheaders()), body=answer.read().decode())


async def obey(socket, command):
    try:
        if "send" in command:
            await socket.send(command["send"])
        if "sendBinary" in command:
            await socket.send(base64.b64decode(command["sendBinary"]))
        if "sendParts" in command:
            await socket.send(command["sendParts"])
        if command.get("ping"):
            await (await socket.ping())
            report("pong")
        if "close" in command:
            await socket.close(command["close"], command.get("reason", ""))
    except ConnectionClosed:
        pass  # shows in the close


async def commands(socket):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await obey(socket, json.loads(line))
    os._exit(0)


async def converse(dial):
    # No pings of its own: a connection must live by the server's alone.
    socket = await connect(
        dial["url"], create_protocol=Connection, ssl=tls(dial), extra_headers=headers(dial),
        ping_interval=None, max_size=None, compression=None if dial.get("noCompression") else "deflate")
    report("open", tls=socket.transport.get_extra_info("ssl_object").version(),
           extensions=", ".join(e.name for e in socket.extensions))
    obeying = asyncio.create_task(commands(socket))
    try:
        while True:
            message = await socket.recv()
            if isinstance(message, bytes):
                report("binary", data=message.decode(errors="replace"))
            else:
                report("message", data=message)
    except ConnectionClosed:
        report("close", code=socket.close_code, reason=socket.close_reason)
    await obeying


def main():
    dial = json.loads(sys.stdin.readline())
    try:
        if dial.get("method"):
            ask(dial)
        else:
            asyncio.run(converse(dial))
    except InvalidStatusCode as refused:
        report("refused", status=refused.status_code, headers=plain(refused.headers.raw_items()),
               body=Connection.refusal.decode())
    except (OSError, http.client.HTTPException) as error:
        report("error", message=str(error))
    sys.stdin.read()


main()
