"""Messages to dissect: recorded flows, the fuzzers' corpus, and RFC 3830's payloads, which no
program here sends."""
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path += [str(TESTS / "fuzz"), str(TESTS / "peer")]
import seeds  # noqa: E402

PSK_INIT, PK_INIT, DH_INIT, ERROR = 0, 2, 4, 6
KEMAC, PKE, DH, SIGN, T, ID, CERT, CHASH, V, SP, RAND, ERR = range(1, 13)
TR, IDR, RANDR, TP, TICKET, EXT = 13, 14, 15, 16, 17, 21


def u8(n):
    return bytes([n])


def u16(n):
    return n.to_bytes(2, "big")


def counted(octets, len_octets=2):
    return len(octets).to_bytes(len_octets, "big") + octets


def message(kind, payloads, sessions=b"", count=0, map_type=1, prf=0):
    """`payloads`: type and what follows its next payload octet. SIGN has no such octet."""
    following = [p[0] for p in payloads[1:]] + [0]
    octets = b"".join(body if kind_ == SIGN else u8(after) + body
                      for (kind_, body), after in zip(payloads, following))
    first = payloads[0][0] if payloads else 0
    return u8(1) + u8(kind) + u8(first) + u8(prf) + b"\x12\x34\x56\x78" + u8(count) + \
        u8(map_type) + sessions + octets


def key(kind, kv, rest=b"", after=0):
    salt = counted(bytes(14)) if kind in (1, 3, 5) else b""
    return u8(after) + u8(kind << 4 | kv) + counted(bytes(range(16))) + salt + rest


def rfc3830():
    """Each payload, each variant whose layout is another."""
    time, rand = (T, b"\0" + bytes(range(8))), (RAND, counted(bytes(16), 1))
    srtp_ids = u8(0) + b"SSRC" + bytes(4) + u8(1) + b"ssrc" + b"\0\0\0\7"
    params = b"".join(u8(kind) + counted(u8(1), 1) for kind in (*range(13), 20, 99))
    params += u8(6) + counted(b"\0\1\0\0", 1) + u8(1) + counted(b"", 1) + u8(3) + counted(bytes(9), 1)
    keys = key(0, 0, after=20) + key(1, 1, counted(b"spi", 1), 20) + \
        key(3, 2, counted(b"from", 1) + counted(b"", 1), 20) + key(6, 1, counted(b"", 1))
    yield message(PSK_INIT, [time, rand, (ID, u8(1) + counted(b"sip:a@example.net")),
                             (ID, u8(0) + counted(b"b@example.net")),
                             (SP, u8(0) + u8(0) + counted(params)),
                             (SP, u8(1) + u8(9) + counted(params)),
                             (KEMAC, u8(1) + counted(bytes(40)) + u8(1) + bytes(20))],
                  srtp_ids, 2, 0)
    yield message(PSK_INIT, [(T, b"\2\0\0\1\0"), (KEMAC, u8(0) + counted(keys) + u8(2) + bytes(32))])
    yield message(1, [(T, b"\1" + b"\x7f" * 8), (V, u8(1) + bytes(20))])
    yield message(PK_INIT, [time, rand, (CERT, u8(0) + counted(b"0\x82")),
                            (CERT, u8(1) + counted(b"https://example.net/cert")),
                            (CHASH, u8(0) + bytes(20)), (CHASH, u8(1) + bytes(16)),
                            (CHASH, u8(2) + bytes(32)), (PKE, u16(2 << 14 | 300) + bytes(300)),
                            (KEMAC, u8(2) + counted(b"") + u8(0)),
                            (SIGN, u16(1 << 12 | 256) + bytes(256))])
    for group, octets in enumerate((192, 96, 128)):
        kv = (b"\0", b"\1" + counted(b"mki", 1), b"\2" + counted(b"f", 1) + counted(b"t", 1))[group]
        yield message(DH_INIT + group % 2, [time, (DH, u8(group) + bytes(octets) + kv),
                                            (SIGN, u16(0))])
    yield message(ERROR, [time, (ERR, u8(12) + u16(0))])
    key_ids = u8(0) + counted(b"domain", 1) + u8(2) + counted(b"", 1)
    yield message(PSK_INIT, [(EXT, u8(0) + counted(b"\0vendor")), (EXT, u8(1) + counted(b"mikey")),
                             (EXT, u8(3) + counted(key_ids)), (EXT, u8(77) + counted(b""))])


def rfc6043():
    """What neither the flows nor the fuzzers' seeds have: the PK messages, odd types and times."""
    times = [(TR, u8(role) + u8(kind) + bytes([200]) * (8 if kind < 2 else 4))
             for role in (1, 2, 4, 9) for kind in range(4)]
    identity = [(IDR, u8(role) + u8(kind) + counted(data)) for role, kind, data in
                ((3, 1, b"sip:kms@example.net"), (4, 2, b"\0\xff\x80"), (5, 1, b""), (9, 7, b"x"))]
    other = u16(2) + u8(1) + u8(1) + u8(2) + b"\0\x1f" + counted(b"\0") + counted(b"opaque") + u16(0)
    inner = u16(1) + u8(1) + u8(1) + u8(2) + u16(0) + counted(b"\5ab") + counted(b"") + counted(b"")
    yield message(12, [*times, *identity, (RANDR, u8(3) + counted(bytes(4), 1)),
                       (SIGN, u16(4) + b"sign")], prf=1)
    yield message(17, [(TICKET, other), (SIGN, u16(4) + b"sign")], prf=1)
    yield message(14, [(TICKET, u16(1) + u8(1) + u8(1) + u8(3) + b"\xff\xe0" +
                        counted(u8(TICKET) + u8(0) + inner) + counted(b"") + counted(b""))])


def policy(letters):
    """A message with a Ticket Policy of these flags."""
    bits = sum(1 << 16 - "DEFGHIJKLMNO".index(letter) for letter in letters)
    flags = (1 << 17 | bits).to_bytes(3, "big")  # after PRF Func, which is 1
    return message(11, [(TP, u16(1) + u8(1) + u8(1) + flags + u16(0))])


def wrong():
    """By name: messages that no decoder may take."""
    def session(data, flags=0):
        return u8(1) + u8(0) + u8(flags) + counted(data) + u8(0)

    def with_keys(keys):
        return message(0, [(KEMAC, u8(0) + counted(keys) + u8(0))])

    yield "an HDR that is cut", b"\1\0\0"
    yield "version 2", b"\2" + message(0, [])[1:]
    yield "map type 3", message(0, [], map_type=3)
    yield "crypto sessions in an Empty map", message(0, [], count=1)
    yield "too few crypto sessions", message(0, [], session(b""), 2, 2)
    for octets, flags in ((3, 0), (10, 0), (4, 0x80), (11, 0x80)):
        yield f"Session Data of {octets}, S {flags}", \
            message(0, [], session(bytes(octets), flags), 1, 2)
    yield "octets behind the last payload", message(0, []) + b"\0"
    yield "a payload of Key data", message(0, [(20, b"")])
    yield "an unknown payload", message(0, [(99, b"")])
    yield "a key that another payload follows", with_keys(key(0, 0, after=5))
    yield "a key of type 7", with_keys(key(7, 0))
    yield "a key of KV 3", with_keys(key(0, 3))
    yield "octets behind the last key", with_keys(key(0, 0) + b"\0")
    yield "TP Data that is cut", message(11, [(TP, u16(1) + u8(1) + u8(1) + bytes(3) +
                                                counted(b"\5\0"))])
    yield "a policy parameter that is cut", message(0, [(SP, u8(0) + u8(0) + counted(b"\0\1"))])
    yield "Key ID Information that is cut", message(0, [(EXT, u8(3) + counted(b"\0\1"))])
    for name, kind, body in (("MAC", V, b"\3"), ("DH group", DH, b"\3"), ("hash", CHASH, b"\3"),
                             ("time", T, b"\4")):
        yield f"an unknown {name}", message(0, [(kind, body + bytes(300))])
    yield "120,000 fields", message(0, [(V, b"\0")] * 60000)


def sound():
    yield from seeds.messages()
    yield from rfc3830()
    yield from rfc6043()


def corpus():
    for path in sorted((TESTS / "fuzz/corpus/message").iterdir()):
        octets = path.read_bytes()
        if octets:
            yield octets
