"""MQTT 3.1.1 and 5.0, as much of it as a middle-man needs. Written from the standard's text, and sharing no code with what is tested."""

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = range(1, 15)

EXPIRY, CONTENT_TYPE, IDENTIFIER, WILL_DELAY, RECEIVE_MAXIMUM, TOPIC_ALIAS, USER, PACKET_SIZE = 0x02, 0x03, 0x0B, 0x18, 0x21, 0x23, 0x26, 0x27
# Bytes of a property's value; -1: a variable byte integer; -2: a string or binary data; -4: two strings.
SIZES = {**dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1), **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
         **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4), 0x0B: -1, 0x26: -4,
         **dict.fromkeys((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F), -2)}


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def short(n):
    return n.to_bytes(2, "big")


def text(value):
    return short(len(value)) + value


class Cursor:
    """Reads a packet's body from the front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), "big")

    def text(self):
        return self.take(self.number(2))

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.number(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def rest(self):
        return self.take(len(self.data) - self.at)

    def properties(self):
        """A list of [identifier, value's bytes]."""
        end = self.varint()
        end += self.at
        found = []
        while self.at < end:
            kind = self.number(1)
            size, start = SIZES[kind], self.at
            if size > 0:
                self.take(size)
            elif size == -1:
                self.varint()
            else:
                for _ in range(-size // 2):
                    self.text()
            found.append([kind, self.data[start:self.at]])
        return found


def properties(found):
    body = b"".join(bytes([kind]) + value for kind, value in found)
    return varint(len(body)) + body


class Publish:
    """A PUBLISH, to be changed and written again."""

    def __init__(self, flags, body, v5):
        read = Cursor(body)
        self.dup, self.qos, self.retain, self.v5 = flags >> 3 & 1, flags >> 1 & 3, flags & 1, v5
        self.topic = read.text().decode()
        self.id = read.number(2) if self.qos else 0
        self.properties = read.properties() if v5 else []
        self.payload = read.rest()

    def encoded(self, id=None):
        body = text(self.topic.encode()) + (short(self.id if id is None else id) if self.qos else b"")
        body += (properties(self.properties) if self.v5 else b"") + self.payload
        return packet(PUBLISH, self.dup << 3 | self.qos << 1 | self.retain, body)


class Connect:
    """A CONNECT, as far as the will's payload, with its properties to be changed."""

    def __init__(self, body):
        read = Cursor(body)
        self.protocol, self.level, self.flags, self.keep_alive = read.text(), read.number(1), read.number(1), read.number(2)
        self.v5, self.will = self.level == 5, bool(self.flags & 4)
        self.properties = read.properties() if self.v5 else []
        self.name = read.text().decode()
        self.will_properties = read.properties() if self.v5 and self.will else []
        self.rest = read.rest()

    def encoded(self):
        body = text(self.protocol) + bytes([self.level, self.flags]) + short(self.keep_alive)
        body += (properties(self.properties) if self.v5 else b"") + text(self.name.encode())
        body += properties(self.will_properties) if self.v5 and self.will else b""
        return packet(CONNECT, 0, body + self.rest)
