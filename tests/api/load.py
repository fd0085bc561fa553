"""A client that asks as fast as it is told to, in a process of its own, which can be kept to a processor.

    load.py pump ADDRESS PATH SECONDS
    load.py samples ADDRESS SECONDS RATE BODY
    load.py look ADDRESS SECONDS

The first asks for the same again and again, with some requests on their way on each of a few connections,
and prints how many were answered in a second. The second sends requests for samples, RATE a second whether
the earlier ones are answered or not, or, where that is 0, the next of a few dozen whenever one is, and
prints what came back and when, as JSON. The third asks for /livez, a hundred times a second at most, and prints how
long each answer took; it takes short turns on the processor, so that it waits for the daemon and not for other clients.
"""
import asyncio
import collections
import ctypes
import json
import os
import selectors
import socket
import struct
import sys
import time

CONNECTIONS, DEPTH, WORKERS = 4, 16, 48


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)))


def answer_size(address, request):
    """Of the whole answer, which is always the same."""
    with connect(address) as connection:
        connection.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, body = data.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200"), head
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        return len(head) + 4 + int(fields[b"content-length"])


def pump(address, path, seconds):
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    size, selector, n = answer_size(address, request), selectors.DefaultSelector(), 0
    for _ in range(CONNECTIONS):
        connection = connect(address)
        connection.sendall(request * DEPTH)
        selector.register(connection, selectors.EVENT_READ, [0])
    begin = time.monotonic()
    while (now := time.monotonic()) < begin + seconds:
        for key, _ in selector.select(1):
            got = key.fileobj.recv(1 << 20)
            assert got, "the daemon has closed the connection"
            key.data[0] += len(got)
            done, key.data[0] = divmod(key.data[0], size)
            n += done
            key.fileobj.sendall(request * done)
    return n / (now - begin)


class Client:
    """Connections that are kept, and what came back over them."""

    def __init__(self, address):
        self.host, self.port = address.rsplit(":", 1)
        self.idle = collections.deque()
        self.answers = []  # (seconds since the begin, status, has it Retry-After)
        self.begin = time.monotonic()

    async def ask(self, request):
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(size)
        self.answers.append((time.monotonic() - self.begin, int(head.split()[1]), b"\r\nretry-after: " in head))
        self.idle.append((reader, writer))


SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}


def take_short_turns():
    """As the daemon's loop does. Linux before 6.12 pays no heed."""
    if os.uname().machine in SYS_SCHED_SETATTR:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        attributes = struct.pack("IIQiIQQQ", 48, os.SCHED_OTHER, 0, nice, 0, 100000, 0, 0)
        ctypes.CDLL(None).syscall(SYS_SCHED_SETATTR[os.uname().machine], 0, attributes, 0)


def look(address, seconds):
    take_short_turns()
    times, end = [], time.monotonic() + seconds
    with connect(address) as connection:
        while (begun := time.monotonic()) < end:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            times.append(time.monotonic() - begun)
            time.sleep(0.01)
    return times


async def samples(address, seconds, rate, body):
    head = "POST /v1/samples HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    client, tasks = Client(address), []
    end = client.begin + seconds

    async def work():
        while time.monotonic() < end:
            await client.ask(request)

    if rate == 0:
        tasks = [asyncio.create_task(work()) for _ in range(WORKERS)]
    due = client.begin
    while rate > 0 and due < end:
        await asyncio.sleep(max(0, due - time.monotonic()))
        tasks.append(asyncio.create_task(client.ask(request)))
        due += 1 / rate
    lost = [r for r in await asyncio.gather(*tasks, return_exceptions=True) if r is not None]
    return {"answers": client.answers, "lost": [repr(e) for e in lost]}


if __name__ == "__main__":
    what, address, *rest = sys.argv[1:]
    if what == "pump":
        print(pump(address, rest[0], float(rest[1])))
    elif what == "look":
        print(json.dumps(look(address, float(rest[0]))))
    else:
        seconds, rate, body = rest
        print(json.dumps(asyncio.run(samples(address, float(seconds), float(rate), body))))
