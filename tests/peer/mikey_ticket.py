"""An independent MIKEY-TICKET (RFC 6043) peer: codec, key schedule, client.

Written from RFC 6043 and RFC 3830 alone, so that tests can hold it against
another implementation.  Section numbers refer to RFC 6043 unless they name
RFC 3830.
"""

import hmac
import os
import time
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class MikeyError(Exception):
    """Base of everything this peer raises."""


class Malformed(MikeyError):
    """The octets are not a well-formed MIKEY message."""


class Refused(MikeyError):
    """Well formed, but not authentic or not what the protocol demands."""


def require(condition, why):
    if not condition:
        raise Refused(why)


# --- Name spaces -----------------------------------------------------------

VERSION = 1

# Data Type: RFC 3830 table 6.1.a and table 6.1
ERROR = 6
REQUEST_INIT_PSK = 11
REQUEST_RESP = 13
TRANSFER_INIT = 14
TRANSFER_RESP = 15
RESOLVE_INIT_PSK = 16
RESOLVE_RESP = 18

# Next Payload: RFC 3830 table 6.1.b and table 6.2
LAST = 0
KEY_DATA = 20

# CS ID map type: RFC 3830 table 6.1.d, RFC 4563, table 6.4
MAP_SRTP_ID = 0
MAP_EMPTY = 1
MAP_GENERIC_ID = 2

# PRF func (table 6.3), Encr alg (6.5), MAC alg (6.6)
PRF_MIKEY_1 = 0
PRF_HMAC_SHA_256 = 1
ENCR_NULL = 0
ENCR_AES_CM_128 = 1
ENCR_AES_CM_256 = 3
MAC_NULL = 0
MAC_HMAC_SHA_1_160 = 1
MAC_HMAC_SHA_256_256 = 2
MAC_LENGTH = {MAC_NULL: 0, MAC_HMAC_SHA_1_160: 20, MAC_HMAC_SHA_256_256: 32}

# Key Data Type: RFC 3830 table 6.13.a and table 6.7
TGK, TGK_SALT, TEK, TEK_SALT, GTGK, GTGK_SALT, MPK = range(7)
KEY_TYPE_NAMES = ("TGK", "TGK+SALT", "TEK", "TEK+SALT", "GTGK", "GTGK+SALT",
                  "MPK")
SALTED = (TGK_SALT, TEK_SALT, GTGK_SALT)
FORKED_TYPES = (TGK, TGK_SALT)
TRAFFIC_KEY_TYPES = (TEK, TEK_SALT)
SESSION_KEY_TYPES = (TGK, TGK_SALT, TEK, TEK_SALT, GTGK, GTGK_SALT)

# KV: RFC 3830 table 6.13.b
KV_NULL, KV_SPI, KV_INTERVAL = range(3)

# TS Type: RFC 3830 table 6.6 and table 6.8
TS_NTP_UTC, TS_NTP, TS_COUNTER, TS_NTP_UTC_32 = range(4)
TS_LENGTH = {TS_NTP_UTC: 8, TS_NTP: 8, TS_COUNTER: 4, TS_NTP_UTC_32: 4}

# TS Role: table 6.9
TR_ISSUE, TR_START, TR_END, TR_REKEYING = range(1, 5)

# ID Type: RFC 3830 table 6.7.a and table 6.10
ID_NAI, ID_URI, ID_BYTES = range(3)

# ID Role: table 6.11
INITIATOR, RESPONDER, KMS, PSK, APPLICATION = range(1, 6)

# Error no: RFC 3830 table 6.12 and table 6.14
ERR_AUTH, ERR_TS, ERR_PRF, ERR_MAC, ERR_EA = range(5)
ERR_ID = 7
ERR_UNSPECIFIED = 12
ERR_TICKET = 14
ERR_TPPAR = 15

# Prot type: RFC 3830 table 6.10, and for private use
PROT_SRTP, PROT_TLS, PROT_CMS = 0, 241, 242

# Ticket Type: table 6.15
MIKEY_BASE_TICKET = 1

# Ticket Policy flags (6.10), most significant bit first
FLAGS = "DEFGHIJKLMNO"


# --- Suites ----------------------------------------------------------------

@dataclass(frozen=True)
class Suite:
    """The algorithms that are used together (12.1)."""
    bits: int
    prf: int
    encr_alg: int
    mac_alg: int
    hash: str
    key_len: int    # encr_key, octets
    auth_len: int   # auth_key and MAC, octets


SUITES = {
    128: Suite(128, PRF_MIKEY_1, ENCR_AES_CM_128, MAC_HMAC_SHA_1_160,
               "sha1", 16, 20),
    256: Suite(256, PRF_HMAC_SHA_256, ENCR_AES_CM_256, MAC_HMAC_SHA_256_256,
               "sha256", 32, 32),
}


# --- Reading octets --------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data = bytes(data)
        self.at = 0

    def take(self, count):
        end = self.at + count
        if end > len(self.data):
            raise Malformed(f"needs {count} octets at offset {self.at}, "
                            f"has {len(self.data) - self.at}")
        octets = self.data[self.at:end]
        self.at = end
        return octets

    def number(self, octets):
        return int.from_bytes(self.take(octets), "big")

    def block(self, length_octets):
        """A field preceded by its length."""
        return self.take(self.number(length_octets))

    def finish(self):
        if self.at != len(self.data):
            raise Malformed(f"{len(self.data) - self.at} octets left over")


def u8(value):
    return value.to_bytes(1, "big")


def u16(value):
    return value.to_bytes(2, "big")


def u32(value):
    return value.to_bytes(4, "big")


def block8(data):
    return u8(len(data)) + data


def block16(data):
    return u16(len(data)) + data


# --- Payloads --------------------------------------------------------------
#
# Every payload starts with a Next Payload octet.  read() begins and body()
# ends up right after it; the chain functions below deal with the octet.

PAYLOADS = {}


def payload(number):
    """Register a payload class under its Next Payload value."""
    def register(cls):
        cls = dataclass(cls)
        cls.NUMBER = number
        PAYLOADS[number] = cls
        return cls
    return register


@payload(1)
class Kemac:
    """KEMAC: RFC 3830 6.2, section 6.2."""
    encr_alg: int
    encr_data: bytes
    mac_alg: int = MAC_NULL
    mac: bytes = b""

    @classmethod
    def read(cls, r):
        encr_alg = r.number(1)
        encr_data = r.block(2)
        mac_alg = r.number(1)
        return cls(encr_alg, encr_data, mac_alg, r.take(mac_length(mac_alg)))

    def body(self):
        return (u8(self.encr_alg) + block16(self.encr_data)
                + u8(self.mac_alg) + self.mac)


@payload(5)
class T:
    """Timestamp: RFC 3830 6.6, section 6.3."""
    ts_type: int
    value: bytes

    @classmethod
    def read(cls, r):
        ts_type = r.number(1)
        if ts_type not in TS_LENGTH:
            raise Malformed(f"TS Type {ts_type}")
        return cls(ts_type, r.take(TS_LENGTH[ts_type]))

    def body(self):
        return u8(self.ts_type) + self.value


@payload(9)
class V:
    """Verification: RFC 3830 6.9."""
    mac_alg: int
    mac: bytes

    @classmethod
    def read(cls, r):
        mac_alg = r.number(1)
        return cls(mac_alg, r.take(mac_length(mac_alg)))

    def body(self):
        return u8(self.mac_alg) + self.mac


@payload(10)
class Sp:
    """Security Policy: RFC 3830 6.10."""
    policy_no: int
    prot_type: int
    params: tuple   # of (type, value)

    @classmethod
    def read(cls, r):
        policy_no, prot_type = r.number(1), r.number(1)
        inner = Reader(r.block(2))
        params = []
        while inner.at < len(inner.data):
            params.append((inner.number(1), inner.block(1)))
        return cls(policy_no, prot_type, tuple(params))

    def body(self):
        params = b"".join(u8(kind) + block8(value)
                          for kind, value in self.params)
        return u8(self.policy_no) + u8(self.prot_type) + block16(params)


@payload(11)
class Rand:
    """RAND: RFC 3830 6.11; used in the Ticket Data."""
    value: bytes

    @classmethod
    def read(cls, r):
        return cls(r.block(1))

    def body(self):
        return block8(self.value)


@payload(12)
class Err:
    """Error: RFC 3830 6.12, section 6.9."""
    number: int
    reserved: int = 0

    @classmethod
    def read(cls, r):
        return cls(r.number(1), r.number(2))

    def body(self):
        return u8(self.number) + u16(self.reserved)


@payload(21)
class GeneralExt:
    """General Extension: RFC 3830 6.15; type 1 is SDP IDs."""
    ext_type: int
    data: bytes

    @classmethod
    def read(cls, r):
        return cls(r.number(1), r.block(2))

    def body(self):
        return u8(self.ext_type) + block16(self.data)


@payload(13)
class Tr:
    """Timestamp with role indicator: section 6.4."""
    role: int
    ts_type: int
    value: bytes

    @classmethod
    def read(cls, r):
        role = r.number(1)
        stamp = T.read(r)
        return cls(role, stamp.ts_type, stamp.value)

    def body(self):
        return u8(self.role) + u8(self.ts_type) + self.value


@payload(14)
class Idr:
    """Identity with role indicator: section 6.6."""
    role: int
    id_type: int
    data: bytes

    @classmethod
    def read(cls, r):
        return cls(r.number(1), r.number(1), r.block(2))

    def body(self):
        return u8(self.role) + u8(self.id_type) + block16(self.data)


@payload(15)
class Randr:
    """RAND with role indicator: section 6.8."""
    role: int
    value: bytes

    @classmethod
    def read(cls, r):
        return cls(r.number(1), r.block(1))

    def body(self):
        return u8(self.role) + block8(self.value)


@dataclass
class Policy:
    """The fields that TP and TICKET share (6.10)."""
    prf: int
    flags: str
    payloads: list
    ticket_type: int = MIKEY_BASE_TICKET
    subtype: int = 1
    version: int = 1
    reserved: int = 0

    @classmethod
    def read(cls, r):
        ticket_type, subtype, version = r.number(2), r.number(1), r.number(1)
        bits = r.number(3)
        flags = "".join(name for shift, name in zip(range(16, 4, -1), FLAGS)
                        if bits >> shift & 1)
        inner = Reader(r.block(2))
        payloads = read_headed_chain(inner)
        return cls(bits >> 17, flags, payloads, ticket_type, subtype, version,
                   bits & 0x1F)

    def encode(self):
        bits = self.prf << 17 | self.reserved
        for shift, name in zip(range(16, 4, -1), FLAGS):
            bits |= (name in self.flags) << shift
        return (u16(self.ticket_type) + u8(self.subtype) + u8(self.version)
                + bits.to_bytes(3, "big")
                + block16(encode_headed_chain(self.payloads)))

    def has(self, flag):
        return flag in self.flags

    def find(self, cls, role=None):
        return find(self.payloads, cls, role)

    def responders(self):
        return [p.data for p in self.payloads
                if isinstance(p, Idr) and p.role == RESPONDER]


@payload(16)
class Tp:
    """Ticket Policy: section 6.10."""
    policy: Policy

    @classmethod
    def read(cls, r):
        return cls(Policy.read(r))

    def body(self):
        return self.policy.encode()


@payload(17)
class Ticket:
    """TICKET: section 6.10."""
    policy: Policy
    data: bytes
    initiator_data: bytes = b""

    @classmethod
    def read(cls, r):
        return cls(Policy.read(r), r.block(2), r.block(2))

    def body(self):
        return (self.policy.encode() + block16(self.data)
                + block16(self.initiator_data))


@dataclass
class KeyData:
    """Key data sub-payload: RFC 3830 6.13, section 6.2.1."""
    key_type: int
    key: bytes
    spi: bytes = b""
    salt: bytes = None
    kv: int = KV_SPI
    interval: tuple = ()   # (Valid From, Valid To)

    @classmethod
    def read(cls, r):
        kind = r.number(1)
        key_type, kv = kind >> 4, kind & 0x0F
        if key_type > MPK or kv > KV_INTERVAL:
            raise Malformed(f"key type {key_type}, KV {kv}")
        result = cls(key_type, r.block(2), kv=kv)
        if key_type in SALTED:
            result.salt = r.block(2)
        if kv == KV_SPI:
            result.spi = r.block(1)
        elif kv == KV_INTERVAL:
            result.interval = (r.block(1), r.block(1))
        return result

    def body(self):
        out = u8(self.key_type << 4 | self.kv) + block16(self.key)
        if self.key_type in SALTED:
            out += block16(self.salt)
        if self.kv == KV_SPI:
            out += block8(self.spi)
        elif self.kv == KV_INTERVAL:
            out += b"".join(map(block8, self.interval))
        return out

    def name(self):
        return KEY_TYPE_NAMES[self.key_type]

    def shape(self):
        """What a wished and a granted key must have in common."""
        return (self.key_type, len(self.key), self.spi)


KeyData.NUMBER = KEY_DATA


def mac_length(mac_alg):
    if mac_alg not in MAC_LENGTH:
        raise Malformed(f"MAC alg {mac_alg}")
    return MAC_LENGTH[mac_alg]


def find(payloads, cls, role=None):
    """The first payload of a class (and role), or None."""
    for p in payloads:
        if isinstance(p, cls) and role in (None, getattr(p, "role", None)):
            return p
    return None


def read_chain(r, number):
    """Read payloads until Next Payload is Last payload."""
    payloads = []
    while number != LAST:
        if number not in PAYLOADS:
            raise Malformed(f"Next Payload {number}")
        following = r.number(1)
        payloads.append(PAYLOADS[number].read(r))
        number = following
    return payloads


def encode_chain(payloads):
    following = [p.NUMBER for p in payloads[1:]] + [LAST]
    return b"".join(u8(n) + p.body() for p, n in zip(payloads, following))


def first_of(payloads):
    return payloads[0].NUMBER if payloads else LAST


def read_headed_chain(r):
    """First Payload octet, then payloads: TP Data and Initiator Data."""
    payloads = read_chain(r, r.number(1))
    r.finish()
    return payloads


def encode_headed_chain(payloads):
    return u8(first_of(payloads)) + encode_chain(payloads)


def read_keys(octets):
    """The Key data sub-payloads in a KEMAC's plain Encr data."""
    r = Reader(octets)
    keys = []
    following = KEY_DATA if octets else LAST
    while following == KEY_DATA:
        following = r.number(1)
        keys.append(KeyData.read(r))
    if following != LAST:
        raise Malformed(f"Next Payload {following} in KEMAC")
    r.finish()
    return keys


encode_keys = encode_chain


# --- Common Header and message ---------------------------------------------

@dataclass
class CryptoSession:
    """One block of a GENERIC-ID map (6.1.1)."""
    cs_id: int
    prot_type: int = PROT_SRTP
    s_flag: int = 0
    policies: tuple = ()
    session_data: bytes = b""
    spi: bytes = b""

    @classmethod
    def read(cls, r):
        cs_id, prot_type, bits = r.number(1), r.number(1), r.number(1)
        policies = tuple(r.take(bits & 0x7F))
        return cls(cs_id, prot_type, bits >> 7, policies, r.block(2),
                   r.block(1))

    def encode(self):
        return (u8(self.cs_id) + u8(self.prot_type)
                + u8(self.s_flag << 7 | len(self.policies))
                + bytes(self.policies) + block16(self.session_data)
                + block8(self.spi))


@dataclass
class Hdr:
    """Common Header: RFC 3830 6.1, section 6.1."""
    data_type: int
    prf: int
    csb_id: int
    v_flag: int = 0
    map_type: int = MAP_EMPTY
    sessions: tuple = ()
    count: int = 0      # #CS
    version: int = VERSION

    @classmethod
    def read(cls, r):
        """Returns the header and the number of the first payload."""
        version, data_type, first = r.number(1), r.number(1), r.number(1)
        if version != VERSION:
            raise Malformed(f"version {version}")
        bits, csb_id = r.number(1), r.number(4)
        count, map_type = r.number(1), r.number(1)
        if map_type == MAP_GENERIC_ID:
            sessions = tuple(CryptoSession.read(r) for _ in range(count))
        elif map_type in (MAP_EMPTY, MAP_SRTP_ID) and count == 0:
            sessions = ()
        else:
            raise Malformed(f"CS ID map type {map_type}, #CS {count}")
        return cls(data_type, bits & 0x7F, csb_id, bits >> 7, map_type,
                   sessions, count, version), first

    def encode(self, first):
        return (u8(self.version) + u8(self.data_type) + u8(first)
                + u8(self.v_flag << 7 | self.prf) + u32(self.csb_id)
                + u8(len(self.sessions)) + u8(self.map_type)
                + b"".join(s.encode() for s in self.sessions))


@dataclass
class Message:
    hdr: Hdr
    payloads: list
    raw: bytes = b""

    @classmethod
    def decode(cls, raw):
        r = Reader(raw)
        hdr, first = Hdr.read(r)
        payloads = read_chain(r, first)
        r.finish()
        message = cls(hdr, payloads, bytes(raw))
        if message.encode() != message.raw:
            raise Malformed("not the canonical encoding")
        return message

    def encode(self):
        return (self.hdr.encode(first_of(self.payloads))
                + encode_chain(self.payloads))

    def find(self, cls, role=None):
        return find(self.payloads, cls, role)

    def need(self, cls, role=None):
        found = self.find(cls, role)
        if found is None:
            raise Malformed(f"no {cls.__name__.upper()}"
                            f"{'' if role is None else f' (role {role})'}")
        return found

    def identity(self, role, default):
        """ID Data of an IDR payload, or the configured identity."""
        found = self.find(Idr, role)
        return found.data if found else default

    def rand(self, role):
        found = self.find(Randr, role)
        return found.value if found else b""

    def verification(self):
        """The V payload; it SHALL be the last one."""
        last = self.payloads[-1] if self.payloads else None
        if not isinstance(last, V):
            raise Malformed("the last payload is not V")
        return last

    def covered(self):
        """The message as its own MAC covers it (5.5): without the MAC field
        and, in TRANSFER_INIT, without the Initiator Data."""
        v = self.verification()
        octets = self.encode()
        octets = octets[:len(octets) - len(v.mac)]
        if self.hdr.data_type != TRANSFER_INIT:
            return octets
        ticket = self.find(Ticket)
        if not ticket:  # a CSB update (5.2)
            return octets
        after = self.payloads[self.payloads.index(ticket) + 1:]
        tail = len(encode_chain(after)) - len(v.mac)
        cut = len(octets) - tail
        return (octets[:cut - 2 - len(ticket.initiator_data)] + octets[cut:])


# --- Time ------------------------------------------------------------------

NTP_OFFSET = 2208988800     # 1900-01-01 to 1970-01-01, seconds
_last_ntp = 0


def ntp_now(shift=0.0):
    """A fresh NTP-UTC timestamp; no two calls without a shift agree."""
    global _last_ntp
    seconds, nanos = divmod(time.time_ns() + int(shift * 1e9), 10**9)
    stamp = (seconds + NTP_OFFSET) << 32 | (nanos << 32) // 10**9
    if not shift:
        stamp = _last_ntp = max(stamp, _last_ntp + 1)
    return T(TS_NTP_UTC, (stamp % 2**64).to_bytes(8, "big"))


def ntp32(unix_seconds):
    """The value of an NTP-UTC-32 timestamp (6.3)."""
    return u32((int(unix_seconds) + NTP_OFFSET) % 2**32)


def to_unix(ts_type, value):
    """Unix seconds of an NTP value, 1968 to 2104 as in RFC 4330 section 3."""
    require(ts_type in (TS_NTP_UTC, TS_NTP, TS_NTP_UTC_32), "not an NTP time")
    seconds = int.from_bytes(value[:4], "big")
    era = 0 if seconds & 0x80000000 else 2**32
    fraction = int.from_bytes(value[4:8].ljust(4, b"\0"), "big") / 2**32
    return seconds + era - NTP_OFFSET + fraction


def to_64_bits(stamp):
    """T as it enters the IV: RFC 3830 6.6 and section 6.3."""
    if stamp.ts_type == TS_COUNTER:
        return stamp.value.rjust(8, b"\0")
    return stamp.value.ljust(8, b"\0")


# --- PRF and key derivation ------------------------------------------------

# RFC 3830 table 4.1.4
ENCR_KEY = 0x150533E1
AUTH_KEY = 0x2D22AC75
SALT_KEY = 0x29B88916
# RFC 3830 table 4.1.3
TRAFFIC_TEK = 0x2AD01C64
TRAFFIC_SALT = 0x39A2C14B
# Table 5.1
FORK_MPKR = 0x2B288856
FORK_TGK = 0x1512B54A
# Table A.1
TICKET_MPKI = 0x220E99A2
TICKET_MPKR = 0x1F4D675B

NO_CSB_ID = 0xFFFFFFFF
NO_CS_ID = 0xFF

# The octet of the label that keeps the derivations apart
LABEL_FORK, LABEL_INIT, LABEL_RESP, LABEL_TRAFFIC = range(4)
LABEL_INITIATOR_DATA, LABEL_TPK, LABEL_MPK = range(4, 7)

SALT_LEN = 14       # 112 bits, RFC 3830 4.2.3
SRTP_SALT_LEN = 14  # RFC 3711 8.2


def prf(hash_name, inkey, label, length):
    """RFC 3830 4.1.2; section 6.1 for HMAC-SHA-256."""
    out = bytes(length)
    for at in range(0, len(inkey), 32):
        block = p_function(hash_name, inkey[at:at + 32], label, length)
        out = bytes(a ^ b for a, b in zip(out, block))
    return out


def p_function(hash_name, key, label, length):
    out, a = b"", label
    while len(out) < length:
        a = hmac.digest(key, a, hash_name)
        out += hmac.digest(key, a + label, hash_name)
    return out[:length]


def label_of(constant, cs_id, csb_id, kind, *fields):
    return (u32(constant) + u8(cs_id) + u32(csb_id) + u8(kind)
            + b"".join(fields))


@dataclass(frozen=True)
class MessageKeys:
    """encr_key, auth_key and salt_key from one inkey and one label."""
    suite: Suite
    inkey: bytes
    csb_id: int
    kind: int
    rands: bytes    # each with its length octet

    def derive(self, constant, length):
        label = label_of(constant, NO_CS_ID, self.csb_id, self.kind,
                         self.rands)
        return prf(self.suite.hash, self.inkey, label, length)

    def mac(self, octets):
        key = self.derive(AUTH_KEY, self.suite.auth_len)
        return hmac.digest(key, octets, self.suite.hash)

    def crypt(self, stamp, octets):
        """AES-CM, RFC 3830 4.2.3; its own inverse."""
        key = self.derive(ENCR_KEY, self.suite.key_len)
        salt = self.derive(SALT_KEY, SALT_LEN)
        mask = bytes(2) + u32(self.csb_id) + to_64_bits(stamp)
        iv = bytes(a ^ b for a, b in zip(salt, mask)) + bytes(2)
        return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(
            octets)

    def seal(self, stamp, keys):
        return Kemac(self.suite.encr_alg,
                     self.crypt(stamp, encode_keys(keys)))

    def open(self, stamp, kemac):
        require(kemac.encr_alg == self.suite.encr_alg,
                f"KEMAC Encr alg {kemac.encr_alg}")
        require(kemac.mac_alg == MAC_NULL, f"KEMAC MAC alg {kemac.mac_alg}")
        return read_keys(self.crypt(stamp, kemac.encr_data))


def message_keys(suite, inkey, csb_id, kind, randri=b"", randrr=b""):
    """5.1.2; the length octet of an omitted RANDR is 0 and stays."""
    return MessageKeys(suite, inkey, csb_id, kind,
                       block8(randri) + block8(randrr))


def initiator_data_keys(suite, mpkr):
    """6.10, the auth_key of Vr."""
    return MessageKeys(suite, mpkr, NO_CSB_ID, LABEL_INITIATOR_DATA, b"")


def ticket_keys(suite, tpk, rand):
    """A.2.1."""
    return MessageKeys(suite, tpk, NO_CSB_ID, LABEL_TPK, block8(rand))


def derive_mpks(suite, mpk, rand):
    """MPKi and MPKr, A.2.2."""
    keys = MessageKeys(suite, mpk, NO_CSB_ID, LABEL_MPK, block8(rand))
    return (keys.derive(TICKET_MPKI, len(mpk)),
            keys.derive(TICKET_MPKR, len(mpk)))


def fork(suite, constant, inkey, id_data, rand_kms):
    """5.1.1."""
    label = label_of(constant, NO_CS_ID, NO_CSB_ID, LABEL_FORK,
                     block16(id_data), block8(rand_kms))
    return prf(suite.hash, inkey, label, len(inkey))


def fork_session_keys(suite, keys, id_data, rand_kms):
    """TGKs are forked; TEKs and GTGKs are not (5.1.1)."""
    return [replace(k, key=fork(suite, FORK_TGK, k.key, id_data, rand_kms))
            if k.key_type in FORKED_TYPES else k for k in keys]


def traffic_keys(suite, keys, cs_id, randri, randrr, length):
    """SPI -> (type, TEK, master salt) for one crypto session (5.1.3).

    A carried salt is used; a TEK without one has none to derive from."""
    out = {}
    for k in keys:
        out[k.spi] = (k.name(),) + traffic_key(suite, k, cs_id, randri,
                                               randrr, length)
    return out


def traffic_key(suite, key, cs_id, randri, randrr, length):
    if key.key_type in TRAFFIC_KEY_TYPES:
        return key.key, key.salt
    rands = block8(randri) + block8(randrr)

    def derive(constant, octets):
        label = label_of(constant, cs_id, NO_CSB_ID, LABEL_TRAFFIC, rands)
        return prf(suite.hash, key.key, label, octets)

    salt = key.salt
    if salt is None:
        salt = derive(TRAFFIC_SALT, SRTP_SALT_LEN)
    return derive(TRAFFIC_TEK, length), salt


# --- Protecting whole messages ---------------------------------------------

def protect(message, keys, *followed_by):
    """Append V, computed over the message and what follows it (5.5)."""
    message.payloads.append(V(keys.suite.mac_alg, b""))
    octets = message.covered() + b"".join(followed_by)
    message.payloads[-1].mac = keys.mac(octets)
    message.raw = message.encode()
    return message.raw


def verify(message, keys, *followed_by):
    v = message.verification()
    require(v.mac_alg == keys.suite.mac_alg, f"V with MAC alg {v.mac_alg}")
    expected = keys.mac(message.covered() + b"".join(followed_by))
    require(hmac.compare_digest(expected, v.mac), "the MAC is wrong")


def check_response_header(init, resp, data_type):
    """4.2.1.5, 4.2.2.3, 4.2.3.5: what a response copies."""
    a, b = init.hdr, resp.hdr
    require(b.data_type == data_type, f"Data Type {b.data_type}")
    require(a.version == b.version, "another version")
    require(a.prf == b.prf, "another PRF func")
    require(a.csb_id == b.csb_id, "another CSB ID")
    require(a.map_type == b.map_type, "another CS ID map type")
    if data_type != TRANSFER_RESP:
        require(b.count == a.count, "another #CS")


# --- Identities and policies -----------------------------------------------

@dataclass(frozen=True)
class Credential:
    """What a user shares with the KMS."""
    identity: str
    psk_id: str
    psk: bytes


def octets_of(text):
    return text if isinstance(text, bytes) else text.encode()


def id_type_of(identity):
    return ID_URI if b":" in octets_of(identity) else ID_NAI


def idr(role, identity):
    if role == PSK:
        return Idr(PSK, ID_BYTES, octets_of(identity))
    return Idr(role, id_type_of(identity), octets_of(identity))


def wished_key(key_type, length, spi):
    """A key in TP's KEMAC: Key Data is all zeroes (6.10)."""
    salt = bytes(SRTP_SALT_LEN) if key_type in SALTED else None
    return KeyData(key_type, bytes(length), spi, salt)


def wished_policy(suite, flags, initiator, responders, start, end, keys):
    """TP Data in the order of 6.10; keys is a list from wished_key()."""
    payloads = [idr(INITIATOR, initiator),
                Tr(TR_START, TS_NTP_UTC_32, ntp32(start)),
                Tr(TR_END, TS_NTP_UTC_32, ntp32(end))]
    if keys is None:    # none in the ticket: the ends supply them (8)
        payloads.append(Kemac(ENCR_NULL, b""))
    elif keys:
        payloads.append(Kemac(ENCR_NULL, encode_keys(keys)))
    payloads += [idr(RESPONDER, r) for r in responders]
    return Policy(suite.prf, flags, payloads)


def policy_changes(asked, asked_keys, granted, granted_keys):
    """What differs between the wished and the granted policy.  An added
    IDRkms or IDRi is information, not a change."""
    def stamp(policy, role):
        found = policy.find(Tr, role)
        return found and (found.ts_type, found.value)

    aspects = {
        "flags": [set(p.flags) - {"K"} for p in (asked, granted)],
        "PRF": [asked.prf, granted.prf],
        "ticket type": [(p.ticket_type, p.subtype, p.version)
                        for p in (asked, granted)],
        "TRs": [stamp(p, TR_START) for p in (asked, granted)],
        "TRe": [stamp(p, TR_END) for p in (asked, granted)],
        "TRr": [stamp(p, TR_REKEYING) for p in (asked, granted)],
        "IDRr": [sorted(p.responders()) for p in (asked, granted)],
        "keys": [[k.shape() for k in keys]
                 for keys in (asked_keys, granted_keys)],
    }
    return [name for name, (a, b) in aspects.items() if a != b]


# --- Ticket Request (4.2.1) ------------------------------------------------

def random_csb_id():
    return int.from_bytes(os.urandom(4), "big")


def fresh_rand(suite, inkey):
    """12.1: RANDs at least as long as the longest key."""
    return os.urandom(max(suite.key_len, len(inkey)))


def without(payloads, roles):
    """Leave out the IDR payloads of some roles."""
    return [p for p in payloads
            if not (isinstance(p, Idr) and p.role in roles)]


def build_request_init(suite, user, kms, policy, csb_id=None, stamp=None,
                       randri=None, omit=()):
    """omit names the roles whose IDR payload is left out; the MAC covers
    the identities all the same."""
    hdr = Hdr(REQUEST_INIT_PSK, suite.prf,
              random_csb_id() if csb_id is None else csb_id, v_flag=1)
    randri = randri or fresh_rand(suite, user.psk)
    message = Message(hdr, without([
        stamp or ntp_now(), Randr(INITIATOR, randri),
        idr(INITIATOR, user.identity), idr(KMS, kms), Tp(policy),
        idr(PSK, user.psk_id)], omit))
    keys = message_keys(suite, user.psk, hdr.csb_id, LABEL_INIT, randri)
    return protect(message, keys, octets_of(user.identity), octets_of(kms))


def exchange_rands(init):
    return init.rand(INITIATOR), init.rand(RESPONDER)


def open_kms_response(suite, user, init_raw, resp_raw, data_type):
    """Verify REQUEST_RESP or RESOLVE_RESP; returns it with its keys."""
    init, resp = Message.decode(init_raw), Message.decode(resp_raw)
    check_response_header(init, resp, data_type)
    keys = message_keys(suite, user.psk, init.hdr.csb_id, LABEL_RESP,
                        *exchange_rands(init))
    verify(resp, keys, init_raw)
    asked_kms, kms = init.find(Idr, KMS), resp.find(Idr, KMS)
    if asked_kms and kms:
        require(asked_kms == kms, f"IDRkms is {kms.data!r}")
    return resp, keys.open(resp.need(T), resp.need(Kemac))


def split_mpks(keys, forking):
    """KEMAC = MPKi || [MPKr or MPKr'] || session keys; returns
    (MPKi, MPKr or None, session keys)."""
    count = 2 if forking else 1
    mpks, session = keys[:count], keys[count:]
    require(len(mpks) == count and all(k.key_type == MPK for k in mpks),
            "the KEMAC does not start with its MPKs")
    require(all(k.key_type in SESSION_KEY_TYPES for k in session),
            "an MPK among the session keys")
    require(all(k.kv == KV_SPI and k.spi for k in keys),
            "a key without an SPI")
    require(len({k.spi for k in session}) == len(session),
            "two session keys with one SPI")
    return mpks[0].key, mpks[1].key if forking else None, session


@dataclass
class Grant:
    """What the Initiator holds after the Ticket Request."""
    suite: Suite
    ticket: Ticket
    mpki: bytes
    mpkr: bytes     # None without forking
    keys: list      # session keys, not forked
    response: Message


def open_request_resp(suite, user, init_raw, resp_raw):
    """4.2.1.6."""
    resp, keys = open_kms_response(suite, user, init_raw, resp_raw,
                                   REQUEST_RESP)
    ticket = resp.need(Ticket)
    policy = ticket.policy
    require(policy.find(Kemac) is None, "a KEMAC in the granted policy")
    require(ticket.initiator_data == b"", "Initiator Data from the KMS")
    require(policy.prf == suite.prf, f"ticket with PRF Func {policy.prf}")
    mpki, mpkr, session = split_mpks(keys, policy.has("I"))
    return Grant(suite, ticket, mpki, mpkr, session, resp)


# --- Ticket Transfer (4.2.2), Initiator ------------------------------------

def srtp_policy(number, key_len):
    """AES-CM with HMAC-SHA-1 and a 112-bit salt: RFC 3830 6.10.1."""
    return Sp(number, PROT_SRTP,
              ((0, u8(1)), (1, u8(key_len)), (2, u8(1)), (3, u8(20)),
               (4, u8(SRTP_SALT_LEN))))


def build_initiator_data(suite, mpkr, mac):
    """6.10: First Payload, Vi, Vr."""
    vi, vr = V(suite.mac_alg, mac), V(suite.mac_alg, b"")
    covered = encode_headed_chain([vi, vr])
    vr.mac = initiator_data_keys(suite, mpkr).mac(covered)
    return encode_headed_chain([vi, vr])


def build_transfer_init(grant, initiator, responder, sessions=None,
                        policies=None, csb_id=None, stamp=None, randri=None,
                        own=()):
    """sessions and policies default to one SRTP crypto session; own are keys
    that the Initiator supplies (4.2.2.1)."""
    suite = grant.suite
    if policies is None:
        policies = [srtp_policy(0, suite.key_len)]
    if sessions is None:
        sessions = [CryptoSession(1, policies=(0,))]
    hdr = Hdr(TRANSFER_INIT, suite.prf,
              random_csb_id() if csb_id is None else csb_id,
              int(grant.ticket.policy.has("F")), MAP_GENERIC_ID,
              tuple(sessions), len(sessions))
    longest = max([grant.mpki] + [k.key for k in grant.keys], key=len)
    randri = randri or fresh_rand(suite, longest)
    ticket = replace(grant.ticket, initiator_data=b"")
    stamp = stamp or ntp_now()
    keys = message_keys(suite, grant.mpki, hdr.csb_id, LABEL_INIT, randri)
    message = Message(hdr, [
        stamp, Randr(INITIATOR, randri),
        idr(INITIATOR, initiator), idr(RESPONDER, responder), *policies,
        ticket] + ([keys.seal(stamp, list(own))] if own else []))
    protect(message, keys, octets_of(initiator), octets_of(responder))
    if grant.ticket.policy.has("I"):
        # The MAC does not cover it, so it is inserted last.
        ticket.initiator_data = build_initiator_data(
            suite, grant.mpkr, message.verification().mac)
        message.raw = message.encode()
    return message.raw


@dataclass
class Session:
    """What one side holds after the Ticket Transfer."""
    keys: list      # session keys, TGKs forked if the policy says so
    traffic: dict   # CS ID -> SPI -> (type, TEK, salt)


def session_of(suite, policy, keys, sessions, init, resp):
    """Traffic keys of every crypto session (5.1.3, H and G flags)."""
    randri = init.rand(INITIATOR) if policy.has("H") else b""
    randrr = resp.rand(RESPONDER) if resp and policy.has("G") else b""
    length = tek_len(suite, sessions, init, resp)
    traffic = {s.cs_id: traffic_keys(suite, keys, s.cs_id, randri, randrr,
                                     length) for s in sessions}
    return Session(keys, traffic)


def tek_len(suite, sessions, init, resp):
    """For TLS and CMS a TEK is as long as the suite's keys."""
    if any(s.prot_type != PROT_SRTP for s in sessions):
        return suite.key_len
    return master_key_len(init, resp)


def master_key_len(init, resp):
    """The SRTP master key length: Session Encr. key length of the policy,
    16 octets by default (RFC 3830 6.10.1, RFC 3711 8.2)."""
    for message in (resp, init):
        sp = message.find(Sp) if message else None
        if sp and dict(sp.params).get(1):
            return int.from_bytes(dict(sp.params)[1], "big")
    return 16


def accept_transfer_resp(grant, init_raw, resp_raw):
    """4.2.2.4; forks the keys, verifies, returns the Session."""
    suite, policy = grant.suite, grant.ticket.policy
    init, resp = Message.decode(init_raw), Message.decode(resp_raw)
    check_response_header(init, resp, TRANSFER_RESP)
    require(bool(resp.find(Randr, RESPONDER)) == policy.has("G"),
            "RANDRr and the G flag disagree")
    mpk, keys = grant.mpki, grant.keys
    if policy.has("I"):
        modifier = (resp.need(Idr, RESPONDER).data,
                    resp.need(Randr, KMS).value)
        mpk = fork(suite, FORK_MPKR, grant.mpkr, *modifier)
        keys = fork_session_keys(suite, grant.keys, *modifier)
    protection = transfer_resp_keys(suite, mpk, init, resp)
    verify(resp, protection, init_raw)
    keys = keys + kemac_keys(policy, init, transfer_init_keys(
        suite, grant.mpki, init), "L")
    keys = keys + kemac_keys(policy, resp, protection, "M")
    check_sessions(resp.hdr.sessions, keys)
    return session_of(suite, policy, keys, resp.hdr.sessions, init, resp)


def transfer_resp_keys(suite, mpk, init, resp):
    return message_keys(suite, mpk, init.hdr.csb_id, LABEL_RESP,
                        init.rand(INITIATOR), resp.rand(RESPONDER))


def transfer_init_keys(suite, mpki, init):
    return message_keys(suite, mpki, init.hdr.csb_id, LABEL_INIT,
                        init.rand(INITIATOR))


def kemac_keys(policy, message, protection, flag):
    """The session keys that an end supplies itself (4.2.2.1, 4.2.2.3, 8)."""
    kemac = message.find(Kemac)
    if not kemac:
        return []
    require(policy.has(flag), f"keys without the {flag} flag")
    keys = protection.open(message.need(T), kemac)
    require(all(k.spi for k in keys), "a key without an SPI")
    require(all(k.key_type in SESSION_KEY_TYPES for k in keys), "an MPK")
    return keys


def check_sessions(sessions, keys):
    """4.2.2.3: one policy, Session Data and a known SPI for each."""
    for s in sessions:
        require(len(s.policies) == 1, f"CS {s.cs_id}: not one policy")
        require(bool(s.session_data) == (s.prot_type == PROT_SRTP),
                f"CS {s.cs_id}: Session Data of {len(s.session_data)} octets")
        require(any(k.spi == s.spi for k in keys),
                f"CS {s.cs_id}: unknown SPI {s.spi.hex()}")


# --- Ticket Resolve (4.2.3), Responder -------------------------------------

def build_resolve_init(suite, user, kms, ticket, csb_id=None, stamp=None,
                       randrr=None, omit=()):
    hdr = Hdr(RESOLVE_INIT_PSK, suite.prf,
              random_csb_id() if csb_id is None else csb_id, v_flag=1)
    randrr = randrr or fresh_rand(suite, user.psk)
    message = Message(hdr, without([
        stamp or ntp_now(), Randr(RESPONDER, randrr),
        idr(RESPONDER, user.identity), idr(KMS, kms), ticket,
        idr(PSK, user.psk_id)], omit))
    keys = message_keys(suite, user.psk, hdr.csb_id, LABEL_INIT,
                        randrr=randrr)
    return protect(message, keys, octets_of(user.identity), octets_of(kms))


@dataclass
class Resolved:
    """What the Responder holds after the Ticket Resolve."""
    suite: Suite
    policy: Policy
    mpki: bytes
    mpkr: bytes         # MPKr', None without forking
    keys: list          # session keys, TGKs forked with forking
    idr: Idr            # the modifier, None if not sent
    rand_kms: Randr
    response: Message


def open_resolve_resp(suite, user, init_raw, resp_raw):
    """4.2.3.6, up to the verification of TRANSFER_INIT."""
    resp, keys = open_kms_response(suite, user, init_raw, resp_raw,
                                   RESOLVE_RESP)
    policy = Message.decode(init_raw).need(Ticket).policy
    mpki, mpkr, session = split_mpks(keys, policy.has("I"))
    if policy.has("I"):
        resp.need(Idr, RESPONDER)
        rand = resp.need(Randr, KMS).value
        longest = max(len(k.key) for k in keys
                      if k.key_type in FORKED_TYPES + (MPK,))
        require(len(rand) >= longest, "RANDRkms is too short (12.1)")
    return Resolved(suite, policy, mpki, mpkr, session,
                    resp.find(Idr, RESPONDER), resp.find(Randr, KMS), resp)


def verify_transfer_init(resolved, raw, initiator=b"", responder=b""):
    """4.2.3.6: the MAC and, with forking, the identity of V and Vi."""
    message = Message.decode(raw)
    require(message.hdr.data_type == TRANSFER_INIT, "not a TRANSFER_INIT")
    keys = message_keys(resolved.suite, resolved.mpki, message.hdr.csb_id,
                        LABEL_INIT, message.rand(INITIATOR))
    verify(message, keys, message.identity(INITIATOR, octets_of(initiator)),
           message.identity(RESPONDER, octets_of(responder)))
    ticket = message.need(Ticket)
    if resolved.policy.has("I"):
        data = read_headed_chain(Reader(ticket.initiator_data))
        require(len(data) >= 2 and isinstance(data[0], V)
                and data[0] == message.verification(), "Vi is not V")
    return message


def build_transfer_resp(resolved, init_raw, sessions=None, policies=(),
                        stamp=None, randrr=None, own=()):
    """4.2.2.3.  sessions default to those of the TRANSFER_INIT, completed
    with an SSRC and the SPI of the first session key; own are keys that the
    Responder supplies, which serve then."""
    init = verify_transfer_init(resolved, init_raw)
    suite, policy = resolved.suite, resolved.policy
    if sessions is None:
        known = resolved.keys + kemac_keys(policy, init, transfer_init_keys(
            suite, resolved.mpki, init), "L")
        sessions = [complete_session(s, list(own) or known, bool(own))
                    for s in init.hdr.sessions]
    stamp = stamp or ntp_now()
    hdr = replace(init.hdr, data_type=TRANSFER_RESP, v_flag=0,
                  sessions=tuple(sessions), count=len(sessions))
    payloads = [stamp]
    if policy.has("G"):
        longest = max([resolved.mpki] + [k.key for k in resolved.keys],
                      key=len)
        payloads.append(Randr(RESPONDER, randrr or fresh_rand(suite, longest)))
    if resolved.idr:
        payloads.append(resolved.idr)
    if resolved.rand_kms:
        payloads.append(resolved.rand_kms)
    resp = Message(hdr, payloads + list(policies))
    mpk = resolved.mpkr if policy.has("I") else resolved.mpki
    protection = transfer_resp_keys(suite, mpk, init, resp)
    if own:
        resp.payloads.append(protection.seal(stamp, list(own)))
    protect(resp, protection, init_raw)
    return resp.raw


def complete_session(session, keys, over=False):
    data = session.session_data
    if session.prot_type == PROT_SRTP:
        data = data or os.urandom(4)
    return replace(session, policies=session.policies[:1] or (0,), session_data=data,
                   spi=keys[0].spi if over or not session.spi
                   else session.spi)


def responder_session(resolved, init_raw, resp_raw):
    init, resp = Message.decode(init_raw), Message.decode(resp_raw)
    suite, policy = resolved.suite, resolved.policy
    mpk = resolved.mpkr if policy.has("I") else resolved.mpki
    keys = resolved.keys + kemac_keys(policy, init, transfer_init_keys(
        suite, resolved.mpki, init), "L")
    keys = keys + kemac_keys(policy, resp, transfer_resp_keys(
        suite, mpk, init, resp), "M")
    return session_of(suite, policy, keys, resp.hdr.sessions, init, resp)


# --- CSB updates (5.2) -------------------------------------------------------

@dataclass
class Bundle:
    """A crypto session bundle as either side sees it between exchanges."""
    suite: Suite
    policy: Policy
    csb_id: int
    identities: dict    # role -> ID Data, roles of the initial exchange
    protection: MessageKeys
    randri: bytes       # as they enter traffic keys (H and G flags)
    randrr: bytes
    keys: list          # session keys
    sessions: tuple
    length: int         # octets of a TEK that is derived
    latest: int         # the latest T, as a number

    def followed_by(self):
        return (self.identities[INITIATOR], self.identities[RESPONDER])

    def stamp(self):
        """A T that no message of the bundle has had."""
        now = int.from_bytes(ntp_now().value, "big")
        self.latest = max(now, self.latest + 1)
        return T(TS_NTP_UTC, self.latest.to_bytes(8, "big"))

    def session(self):
        traffic = {s.cs_id: traffic_keys(self.suite, self.keys, s.cs_id,
                                         self.randri, self.randrr, self.length)
                   for s in self.sessions}
        return Session(self.keys, traffic)


def bundle_of(suite, policy, mpk, keys, init_raw, resp_raw):
    """After an initial exchange with TRANSFER_RESP, whose keys protect every
    update in both directions."""
    init, resp = Message.decode(init_raw), Message.decode(resp_raw)
    responder = (resp.find(Idr, RESPONDER) or init.need(Idr, RESPONDER)).data
    stamps = [int.from_bytes(m.need(T).value, "big") for m in (init, resp)]
    return Bundle(suite, policy, init.hdr.csb_id,
                  {INITIATOR: init.need(Idr, INITIATOR).data,
                   RESPONDER: responder},
                  transfer_resp_keys(suite, mpk, init, resp),
                  init.rand(INITIATOR) if policy.has("H") else b"",
                  resp.rand(RESPONDER) if policy.has("G") else b"",
                  list(keys), resp.hdr.sessions,
                  tek_len(suite, resp.hdr.sessions, init, resp),
                  max(stamps))


def initiator_bundle(grant, init_raw, resp_raw):
    keys = accept_transfer_resp(grant, init_raw, resp_raw).keys
    mpk, policy = grant.mpki, grant.ticket.policy
    if policy.has("I"):
        resp = Message.decode(resp_raw)
        mpk = fork(grant.suite, FORK_MPKR, grant.mpkr,
                   resp.need(Idr, RESPONDER).data, resp.need(Randr, KMS).value)
    return bundle_of(grant.suite, policy, mpk, keys, init_raw, resp_raw)


def responder_bundle(resolved, init_raw, resp_raw):
    mpk = resolved.mpkr if resolved.policy.has("I") else resolved.mpki
    return bundle_of(resolved.suite, resolved.policy, mpk,
                     responder_session(resolved, init_raw, resp_raw).keys,
                     init_raw, resp_raw)


def new_key(key_type, length):
    salt = os.urandom(SRTP_SALT_LEN) if key_type in SALTED else None
    return KeyData(key_type, os.urandom(length), os.urandom(4), salt)


def supplied(bundle, message, role):
    """The keys in a message's KEMAC: L lets the Initiator, M the
    Responder."""
    kemac = message.find(Kemac)
    if not kemac:
        return []
    require(bundle.policy.has("L" if role == INITIATOR else "M"),
            "keys that the ticket does not allow")
    keys = bundle.protection.open(message.need(T), kemac)
    taken = {k.spi for k in bundle.keys}
    require(all(k.spi and k.spi not in taken for k in keys), "an SPI twice")
    require(all(k.key_type in SESSION_KEY_TYPES for k in keys), "an MPK")
    return keys


def other(role):
    return RESPONDER if role == INITIATOR else INITIATOR


def build_update(bundle, role, keys=(), sessions=None, extra=()):
    """TRANSFER_INIT by the side with this role: HDR, T, IDRs, SP, [KEMAC], V."""
    sessions = bundle.sessions if sessions is None else sessions
    if keys:
        sessions = [replace(s, spi=keys[min(i, len(keys) - 1)].spi)
                    for i, s in enumerate(sessions)]
    sessions = [replace(s, policies=(0,)) for s in sessions]
    hdr = Hdr(TRANSFER_INIT, bundle.suite.prf, bundle.csb_id,
              int(bundle.policy.has("F")), MAP_GENERIC_ID, tuple(sessions),
              len(sessions))
    stamp = bundle.stamp()
    payloads = [stamp, *extra]
    payloads += [idr(r, bundle.identities[r]) for r in (role, other(role))]
    prot = bundle.sessions[0].prot_type
    payloads.append(srtp_policy(0, bundle.length) if prot == PROT_SRTP
                    else Sp(0, prot, ()))
    if keys:
        payloads.append(bundle.protection.seal(stamp, list(keys)))
    return protect(Message(hdr, payloads), bundle.protection,
                   *bundle.followed_by())


def accept_update(bundle, role, raw):
    """What the side with this role checks of the other's TRANSFER_INIT;
    returns it with the keys that it brings."""
    init = Message.decode(raw)
    require(init.hdr.data_type == TRANSFER_INIT, "not a TRANSFER_INIT")
    require(init.hdr.csb_id == bundle.csb_id, "another CSB ID")
    require(not init.find(Ticket) and not init.find(Randr),
            "static payloads in an update")
    verify(init, bundle.protection, *bundle.followed_by())
    for r in (INITIATOR, RESPONDER):
        require(init.identity(r, bundle.identities[r])
                == bundle.identities[r], "another identity")
    first = init.find(Idr)
    require(not first or first.role == other(role), "one's own update")
    stamp = int.from_bytes(init.need(T).value, "big")
    require(stamp > bundle.latest, "an old T")
    return init, supplied(bundle, init, other(role))


def build_update_resp(bundle, role, init_raw, keys=()):
    """TRANSFER_RESP; completes the bundle."""
    init, theirs = accept_update(bundle, role, init_raw)
    bundle.latest = int.from_bytes(init.need(T).value, "big")
    known = list(keys) or bundle.keys + theirs
    now = {s.cs_id: s for s in bundle.sessions}
    sessions = []
    for i, s in enumerate(init.hdr.sessions):
        spi = s.spi
        if not any(k.spi == spi for k in known):
            spi = known[min(i, len(known) - 1)].spi
        data = s.session_data or (now[s.cs_id].session_data
                                  if s.cs_id in now else os.urandom(4))
        sessions.append(replace(s, policies=s.policies[:1],
                                session_data=data, spi=spi))
    hdr = replace(init.hdr, data_type=TRANSFER_RESP, v_flag=0,
                  sessions=tuple(sessions), count=len(sessions))
    stamp = bundle.stamp()
    payloads = [stamp, idr(role, bundle.identities[role])]
    if keys:
        payloads.append(bundle.protection.seal(stamp, list(keys)))
    resp = Message(hdr, payloads)
    protect(resp, bundle.protection, init_raw)
    complete_update(bundle, sessions, theirs + list(keys))
    return resp.raw


def accept_update_resp(bundle, role, init_raw, resp_raw):
    """Verify the answer to one's own update; completes the bundle."""
    init, resp = Message.decode(init_raw), Message.decode(resp_raw)
    check_response_header(init, resp, TRANSFER_RESP)
    verify(resp, bundle.protection, init_raw)
    require(not resp.find(Randr) and not resp.find(Ticket),
            "static payloads in the answer to an update")
    require(resp.need(T) != init.need(T), "one T in both messages")
    bundle.latest = max(bundle.latest,
                        int.from_bytes(resp.need(T).value, "big"))
    complete_update(bundle, resp.hdr.sessions,
                    supplied(bundle, init, role)
                    + supplied(bundle, resp, other(role)))


def complete_update(bundle, sessions, keys):
    bundle.keys = bundle.keys + keys
    bundle.sessions = tuple(sessions)
    check_sessions(bundle.sessions, bundle.keys)


# --- MIKEY base ticket (Appendix A), for whoever knows the TPK -------------

@dataclass
class TicketContent:
    suite: Suite
    stamp: T
    rand: bytes
    tpk_id: Idr
    mpk: bytes
    keys: list
    thdr: bytes = b""


def ticket_covered(policy, length, data):
    """The TICKET payload from Ticket Type up to the MAC field (A.1);
    length is that of the Ticket Data with its MAC."""
    return policy.encode() + u16(length) + data


def build_ticket(policy, content, tpk):
    """Ticket Data = THDR, T, RAND, KEMAC, [IDRpsk], V."""
    suite = content.suite
    keys = ticket_keys(suite, tpk, content.rand)
    mpk = KeyData(MPK, content.mpk, bytes(4))
    payloads = [content.stamp, Rand(content.rand),
                keys.seal(content.stamp, [mpk] + content.keys)]
    if content.tpk_id:
        payloads.append(content.tpk_id)
    payloads.append(V(suite.mac_alg, b""))
    head = (u8(payloads[0].NUMBER) + block16(content.thdr)
            + encode_chain(payloads))
    covered = ticket_covered(policy, len(head) + suite.auth_len, head)
    return Ticket(policy, head + keys.mac(covered))


def open_ticket(suite, ticket, tpk):
    r = Reader(ticket.data)
    first, thdr = r.number(1), r.block(2)   # A.3
    payloads = read_chain(r, first)
    r.finish()
    rand, v = find(payloads, Rand), payloads[-1]
    require(isinstance(v, V) and v.mac_alg == suite.mac_alg, "no V at the end")
    keys = ticket_keys(suite, tpk, rand.value)
    covered = ticket_covered(ticket.policy, len(ticket.data),
                             ticket.data[:-len(v.mac)])
    require(hmac.compare_digest(keys.mac(covered), v.mac),
            "the ticket's MAC is wrong")
    stamp = find(payloads, T)
    mpk, _, session = split_mpks(keys.open(stamp, find(payloads, Kemac)),
                                 False)
    return TicketContent(suite, stamp, rand.value,
                         find(payloads, Idr, PSK), mpk, session, thdr)


def verify_initiator_data(suite, ticket, mpkr):
    """6.10: Vr, which authenticates the Initiator under key forking."""
    payloads = read_headed_chain(Reader(ticket.initiator_data))
    require(len(payloads) >= 2 and all(isinstance(p, V) for p in payloads),
            "Initiator Data is not Vi, Vr")
    vr = payloads[-1]
    covered = ticket.initiator_data[:-len(vr.mac)]
    expected = initiator_data_keys(suite, mpkr).mac(covered)
    require(hmac.compare_digest(expected, vr.mac), "Vr is wrong")


# --- Error messages (5.4) --------------------------------------------------

@dataclass
class ErrorReport:
    numbers: list
    authenticated: bool     # carries a V, and it verified
    message: Message


def open_error(suite, user, init_raw, raw):
    """Parse an Error message that answers init_raw; verifies V if there."""
    message = Message.decode(raw)
    require(message.hdr.data_type == ERROR,
            f"Data Type {message.hdr.data_type} is no Error")
    numbers = [p.number for p in message.payloads if isinstance(p, Err)]
    require(numbers, "an Error message without ERR")
    message.need(T)
    init = Message.decode(init_raw)
    require(message.hdr.prf == init.hdr.prf, "Error with another PRF func")
    require(message.hdr.csb_id == init.hdr.csb_id,
            "Error with another CSB ID")
    authenticated = message.find(V) is not None
    if authenticated:
        keys = message_keys(suite, user.psk, init.hdr.csb_id, LABEL_INIT,
                            *exchange_rands(init))
        verify(message, keys)
    return ErrorReport(numbers, authenticated, message)
