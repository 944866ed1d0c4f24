"""The lies: what each does at an opportunity that it takes. Everything else is Honest's."""
import asyncio

from mqtt import *


class Honest:
    """Passes everything on."""

    def client(self, link, kind, flags, body):
        link.to_broker(packet(kind, flags, body))

    def broker(self, link, kind, flags, body):
        link.to_client(packet(kind, flags, body))

    def published(self, link, p):
        link.to_broker(p.encoded())

    def delivered(self, link, p):
        link.to_client(p.encoded())

    def broker_left(self, link):
        link.hang_up_on_client()

    async def beside(self, link):
        pass


LIES = {"none": Honest}


def lie(method):
    """Makes a lie of a function that takes the place of one of Honest's methods, where it returns true."""

    def named(function):
        honest = getattr(Honest, method)

        def lies(self, link, *arguments):
            if not function(link, *arguments):
                honest(self, link, *arguments)

        LIES[function.__name__.replace("_", "-")] = type(function.__name__, (Honest,), {method: lies})
        return function

    return named


def due(link, p):
    return not link.is_last_word and link.house.due(p.topic)


# Messages on their way to a subscriber.


@lie("delivered")
def drop(link, p):
    if due(link, p):
        link.acknowledge(p)
        return True


@lie("delivered")
def duplicate(link, p):
    if due(link, p):
        link.hand(p)


@lie("delivered")
def flip(link, p):
    if due(link, p):
        # Another byte each time.
        at = link.house.told * 13 % len(p.payload)
        p.payload = p.payload[:at] + bytes([p.payload[at] ^ 0x10]) + p.payload[at + 1:]


@lie("delivered")
def truncate(link, p):
    if due(link, p):
        p.payload = p.payload[:-1]


@lie("delivered")
def swap(link, p):
    if due(link, p):
        link.held[p.topic] = p
        return True


@lie("delivered")
def rename(link, p):
    if due(link, p):
        p.topic += "x"


@lie("delivered")
def misroute(link, p):
    """A copy for somebody whose filters do not match."""
    level = p.topic.split("/")[0]
    matching = {"#", level}
    others = [l for l in link.house.links if l.filters and not any(f.split("/")[0] in matching for f in l.filters)]
    if others and due(link, p):
        p.v5 = others[0].connect.v5
        others[0].hand(p)
        p.v5 = link.connect.v5


@lie("delivered")
def share_twice(link, p):
    """A copy for another member of the group."""
    shares = [f for f in link.filters if f.startswith("$share/")]
    others = [l for l in link.house.links if l is not link and any(f in shares for f in l.filters)]
    if others and due(link, p):
        others[0].hand(p)


@lie("delivered")
def lower(link, p):
    if p.qos == 2 and due(link, p):
        link.acknowledge(p)
        p.qos = 1
        link.hand(p)
        return True


@lie("delivered")
def mark_dup(link, p):
    if due(link, p):
        p.dup = 1
        link.is_last_word = p.qos == 0


@lie("delivered")
def malform(link, p):
    if due(link, p):
        link.to_client(packet(PUBLISH, 6, text(p.topic.encode()) + short(1)))
        link.is_last_word = True


@lie("delivered")
def dollar(link, p):
    if "#" in link.filters and due(link, p):
        link.to_client(packet(PUBLISH, 0, text(b"$SYS/uptime") + b"\0" * link.connect.v5 + b"1"))


@lie("delivered")
def burst(link, p):
    """Several at once, and more than the client lets be in flight."""
    if p.qos == 2 and any(kind == RECEIVE_MAXIMUM for kind, _ in link.connect.properties) and link.house.due(p.topic):
        link.acknowledge(p)
        link.waiting.append(p)
        if len(link.waiting) == 12:
            while link.waiting:
                link.hand(link.waiting.pop(0))
        return True


@lie("delivered")
def hide_retained(link, p):
    if p.retain and due(link, p):
        link.acknowledge(p)
        return True


@lie("delivered")
def mark_retain(link, p):
    if not p.retain and due(link, p):
        p.retain = 1


@lie("delivered")
def unmark_retain(link, p):
    if p.retain and due(link, p):
        p.retain = 0


@lie("delivered")
def replay_older(link, p):
    if p.retain and p.payload != link.house.first[p.topic] and due(link, p):
        p.payload = link.house.first[p.topic]


@lie("delivered")
def alter_property(link, p):
    if any(kind == CONTENT_TYPE for kind, _ in p.properties) and due(link, p):
        p.properties = [[k, text(b"text/html")] if k == CONTENT_TYPE else [k, v] for k, v in p.properties]


@lie("delivered")
def reverse_user_properties(link, p):
    user = [v for k, v in p.properties if k == USER]
    if user and due(link, p):
        p.properties = [[k, user.pop()] if k == USER else [k, v] for k, v in p.properties]


@lie("delivered")
def stop_countdown(link, p):
    whole = link.house.expiry.get(p.topic)
    if any(k == EXPIRY and v != whole for k, v in p.properties) and due(link, p):
        p.properties = [[k, whole] if k == EXPIRY else [k, v] for k, v in p.properties]


@lie("delivered")
def drop_expiry(link, p):
    if any(k == EXPIRY for k, _ in p.properties) and due(link, p):
        p.properties = [[k, v] for k, v in p.properties if k != EXPIRY]


@lie("delivered")
def wrong_identifier(link, p):
    if any(k == IDENTIFIER for k, _ in p.properties) and due(link, p):
        p.properties = [[k, b"\x08"] if k == IDENTIFIER else [k, v] for k, v in p.properties]


@lie("delivered")
def alias_out_of_range(link, p):
    if p.v5 and due(link, p):
        p.properties.append([TOPIC_ALIAS, short(1000)])


@lie("delivered")
def freeze(link, p):
    """From here on nobody hears anything any more."""
    if due(link, p):
        link.house.frozen = True


@lie("published")
def silence(link, p):
    """From here on this client hears nothing any more, and its connection stays open."""
    if due(link, p):
        link.silent = True


# Messages on their way to the broker.


@lie("published")
def forget(link, p):
    if p.payload and due(link, p):
        link.swallow(p)
        return True


@lie("published")
def keep_retained(link, p):
    if p.retain and not p.payload and due(link, p):
        link.swallow(p)
        return True


# Everything else that clients send.


@lie("client")
def keep_subscription(link, kind, flags, body):
    """UNSUBACK, and the broker never heard of it."""
    if kind == UNSUBSCRIBE and link.house.due():
        read = Cursor(body[2:])
        reasons = b""
        if link.connect.v5:
            read.properties()
            while read.at < len(read.data):
                read.text()
                reasons += b"\0"
        link.to_client(packet(UNSUBACK, 0, body[:2] + b"\0" * link.connect.v5 + reasons))
        return True


@lie("client")
def ignore_no_local(link, kind, flags, body):
    if kind == SUBSCRIBE and link.connect.v5:
        read = Cursor(body[2:])
        found, filters, lied = read.properties(), b"", False
        while read.at < len(read.data):
            filters += text(read.text())
            options = read.number(1)
            lied |= bool(options & 4)
            filters += bytes([options & ~4])
        if lied and link.house.due():
            link.to_broker(packet(SUBSCRIBE, 2, body[:2] + properties(found) + filters))
            return True


@lie("client")
def swallow_disconnect(link, kind, flags, body):
    """The broker is left without a word, and so takes the client for broken."""
    if kind == DISCONNECT and link.connect.will and link.house.due():
        link.hang_up_on_broker()
        return True


@lie("client")
def close_at_ping(link, kind, flags, body):
    if kind == PINGREQ and link.house.due():
        link.hang_up_on_client()
        return True


@lie("client")
def forget_packet_size(link, kind, flags, body):
    if kind == CONNECT and any(k == PACKET_SIZE for k, _ in link.connect.properties) and link.house.due():
        link.connect.properties = [[k, v] for k, v in link.connect.properties if k != PACKET_SIZE]
        link.to_broker(link.connect.encoded())
        return True


@lie("client")
def hasten_will(link, kind, flags, body):
    if kind == CONNECT and any(k == WILL_DELAY for k, _ in link.connect.will_properties) and link.house.due():
        link.connect.will_properties = [[k, v] for k, v in link.connect.will_properties if k != WILL_DELAY]
        link.to_broker(link.connect.encoded())
        return True


# Everything else that the broker sends.


@lie("broker")
def invent_session(link, kind, flags, body):
    # Not to the client that looks whether the broker is there, before the run.
    if kind == CONNACK and body[:2] == b"\0\0" and not link.connect.name.startswith("squall") and link.house.due():
        link.to_client(packet(CONNACK, 0, b"\1" + body[1:]))
        return True


@lie("broker")
def forget_session(link, kind, flags, body):
    if kind == CONNACK and body[:2] == b"\1\0" and link.house.due():
        link.to_client(packet(CONNACK, 0, b"\0" + body[1:]))
        return True


@lie("broker")
def stray_ack(link, kind, flags, body):
    if kind == PUBACK and not link.is_last_word and link.house.due():
        link.to_client(packet(PUBACK, 0, short(64_000)))
        link.is_last_word = True


@lie("broker")
def unknown_release(link, kind, flags, body):
    if kind == PUBCOMP and link.connect.v5 and link.house.due():
        link.to_client(packet(PUBCOMP, 0, body[:2] + b"\x92"))
        return True


# Connections.


class KeepOldConnection(Honest):
    """The broker closes the connection that was taken over, and the client's half of it stays open."""

    def is_taken_over(self, link):
        return any(other is not link and other.connect and other.connect.name == link.connect.name for other in link.house.links)

    def broker(self, link, kind, flags, body):
        if kind != DISCONNECT or not self.is_taken_over(link):
            super().broker(link, kind, flags, body)

    def broker_left(self, link):
        if not (link.connect and self.is_taken_over(link) and link.house.due()):
            super().broker_left(link)


LIES["keep-old-connection"] = KeepOldConnection


class PingForTheSilent(Honest):
    """The broker hears of every client as long as its connection is there. (Who has a will may die by it: that is another guarantee.)"""

    async def beside(self, link):
        while True:
            await asyncio.sleep(0.5)
            if link.connect and link.connect.keep_alive and not link.connect.will and link.house.due():
                link.pings += 1
                link.to_broker(packet(PINGREQ, 0, b""))

    def broker(self, link, kind, flags, body):
        if kind == PINGRESP and link.pings:
            link.pings -= 1
        else:
            super().broker(link, kind, flags, body)


LIES["ping-for-the-silent"] = PingForTheSilent
