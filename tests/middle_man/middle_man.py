#!/usr/bin/env python3
"""A middle-man between MQTT clients and an honest broker, who lies in one way and passes everything else on.

    middle_man.py --to PORT --lie NAME [--topic PREFIX] [--every N] [--times N]

It listens on a free port of 127.0.0.1, says which, and prints a line for each lie that it tells: at every N-th opportunity, with
messages whose topic begins with PREFIX, and no more often than --times. What the lie keeps from one side it makes up for towards the
other, so that no hand-shake betrays it: the acknowledgements that a client or the broker waits for are sent by the middle-man.
"""
import argparse
import asyncio
import sys

from lies import LIES
from mqtt import *


class House:
    """All that the connections have in common."""

    def __init__(self, arguments):
        self.port, self.prefix, self.every, self.times = arguments.to, arguments.topic, arguments.every, arguments.times
        self.lie, self.links, self.chances, self.told, self.frozen = LIES[arguments.lie](), [], 0, 0, False
        # By topic: the first payload and the first expiry that were published.
        self.first, self.expiry = {}, {}

    def due(self, topic=None):
        """Whether this opportunity is taken."""
        if self.told >= self.times or topic is not None and not topic.startswith(self.prefix):
            return False
        self.chances += 1
        if self.chances % self.every:
            return False
        self.told += 1
        print("told", topic, flush=True)
        return True


class Link:
    """A client's connection and the broker's."""

    def __init__(self, house, client, broker):
        self.house, self.lie = house, house.lie
        self._client, self._broker = client, broker
        self.connect, self.filters, self.silent, self.pings = None, [], False, 0
        # It was told what makes a client leave: what comes after that may go unread.
        self.is_last_word = False
        # Identifiers of ours towards the client (from the top, the broker's own begin at 1); of the broker's and of the client's
        # QoS 2 exchanges that end here.
        self.next_own, self.own, self.kept, self.swallowed = 65535, set(), set(), set()
        # By topic, what is to follow the next of it; and what waits to go at once.
        self.held, self.waiting = {}, []

    def to_client(self, data):
        if not (self.silent or self.house.frozen or self._client.is_closing()):
            self._client.write(data)

    def to_broker(self, data):
        if not (self.silent or self.house.frozen or self._broker.is_closing()):
            self._broker.write(data)

    def hang_up_on_client(self):
        self._client.close()

    def hang_up_on_broker(self):
        self._broker.close()

    def acknowledge(self, p):
        """Answers the broker for a message that it handed over, as if the client had it."""
        if p.qos == 1:
            self.to_broker(packet(PUBACK, 0, short(p.id)))
        elif p.qos == 2:
            self.kept.add(p.id)
            self.to_broker(packet(PUBREC, 0, short(p.id)))

    def hand(self, p):
        """Gives the client a message under an identifier of ours."""
        id = self.next_own
        if p.qos:
            self.own.add(id)
            self.next_own -= 1
        self.to_client(p.encoded(id))

    def swallow(self, p):
        """Answers the client for a message that it publishes, as if the broker had it."""
        if p.qos == 2:
            self.swallowed.add(p.id)
        if p.qos:
            self.to_client(packet(PUBACK if p.qos == 1 else PUBREC, 0, short(p.id)))

    def from_client(self, kind, flags, body):
        id = int.from_bytes(body[:2], "big")
        if kind in (PUBACK, PUBREC, PUBCOMP) and id in self.own:
            if kind == PUBREC:
                return self.to_client(packet(PUBREL, 2, short(id)))
            return self.own.discard(id)
        if kind == PUBREL and id in self.swallowed:
            self.swallowed.discard(id)
            return self.to_client(packet(PUBCOMP, 0, short(id)))
        if kind == CONNECT:
            self.connect = Connect(body)
        if kind == SUBSCRIBE:
            self.subscribed(body)
        if kind == PUBLISH:
            p = Publish(flags, body, self.connect.v5)
            self.house.first.setdefault(p.topic, p.payload)
            for found, value in p.properties:
                if found == EXPIRY:
                    self.house.expiry.setdefault(p.topic, value)
            return self.lie.published(self, p)
        self.lie.client(self, kind, flags, body)

    def from_broker(self, kind, flags, body):
        id = int.from_bytes(body[:2], "big")
        if kind == PUBREL and id in self.kept:
            self.kept.discard(id)
            return self.to_broker(packet(PUBCOMP, 0, short(id)))
        if kind != PUBLISH:
            return self.lie.broker(self, kind, flags, body)
        p = Publish(flags, body, self.connect.v5)
        waits = self.held.pop(p.topic, None)
        self.lie.delivered(self, p)
        if waits is not None:
            self.to_client(waits.encoded())

    def subscribed(self, body):
        read = Cursor(body[2:])
        if self.connect.v5:
            read.properties()
        while read.at < len(read.data):
            self.filters.append(read.text().decode())
            read.number(1)


async def pump(link, reader, handle):
    """Packet by packet, until the connection ends."""
    while True:
        head = (await reader.readexactly(1))[0]
        length, shift = 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        body = await reader.readexactly(length)
        if not link.house.frozen:
            handle(head >> 4, head & 15, body)


async def serve(house, reader, writer):
    broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", house.port)
    link = Link(house, writer, broker_writer)
    house.links.append(link)

    async def upward():
        try:
            await pump(link, reader, link.from_client)
        except (asyncio.IncompleteReadError, ConnectionError):
            link.hang_up_on_broker()

    async def downward():
        try:
            await pump(link, broker_reader, link.from_broker)
        except (asyncio.IncompleteReadError, ConnectionError):
            house.lie.broker_left(link)

    tasks = [asyncio.create_task(task) for task in (upward(), downward(), house.lie.beside(link))]
    await tasks[0]
    await tasks[1]
    tasks[2].cancel()
    house.links.remove(link)
    link.hang_up_on_client()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--lie", choices=sorted(LIES), required=True)
    parser.add_argument("--topic", default="")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--times", type=int, default=sys.maxsize)
    house = House(parser.parse_args())
    server = await asyncio.start_server(lambda r, w: serve(house, r, w), "127.0.0.1", 0)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main())
