#!/usr/bin/env python3
"""Opens a capture of SRTP without any code of this project, and compares it with what was sent.

srtp_check.py vectors                       the published key derivations come out
srtp_check.py compare CAPTURE KEYS CS WAV   CAPTURE (pcap, raw IP) holds the sound of WAV, the
                                            whole of it, and a BYE, protected with KEYS

Written from RFC 3711 (SRTP), RFC 6188 (AES-256), RFC 3550 (RTP) and RFC 3551 (L16).
"""
import hashlib
import hmac
import json
import struct
import sys
import wave
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_LENGTH = {"AES_CM_128_HMAC_SHA1_80": 16, "AES_256_CM_HMAC_SHA1_80": 32}
TAG = 10
RTP_LABELS, RTCP_LABELS = (0, 1, 2), (3, 4, 5)  # encryption, authentication, salt
BYE = 203


class Refused(Exception):
    pass


def aes_cm(key, counter, data):
    cipher = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return cipher.update(data) + cipher.finalize()


def derive(master_key, master_salt, label, length):
    """RFC 3711 4.3 with a key derivation rate of 0, which leaves x = label || 0^48 xor salt."""
    x = int.from_bytes(master_salt, "big") ^ label << 48
    return aes_cm(master_key, (x << 16).to_bytes(16, "big"), bytes(length))


def session_keys(master_key, master_salt, labels):
    return (derive(master_key, master_salt, labels[0], len(master_key)),
            derive(master_key, master_salt, labels[1], 20),
            derive(master_key, master_salt, labels[2], 14))


def crypt(keys, ssrc, index, data):
    """RFC 3711 4.1.1."""
    iv = int.from_bytes(keys[2], "big") << 16 ^ ssrc << 64 ^ index << 16
    return aes_cm(keys[0], iv.to_bytes(16, "big"), data)


def check_tag(keys, authenticated, tag):
    computed = hmac.new(keys[1], authenticated, hashlib.sha1).digest()[:TAG]
    if not hmac.compare_digest(computed, tag):
        raise Refused("authentication failure")


class CryptoSession:
    """One crypto session of a file of keys."""

    def __init__(self, path, cs_id):
        self.cs = next(c for c in json.loads(Path(path).read_text())["crypto_sessions"]
                       if c["cs_id"] == cs_id)
        key, salt = (bytes.fromhex(self.cs[name]) for name in ("master_key", "master_salt"))
        if len(key) != KEY_LENGTH[self.cs["srtp"]] or len(salt) != 14:
            raise Refused("keys of a wrong length")
        self.rtp = session_keys(key, salt, RTP_LABELS)
        self.rtcp = session_keys(key, salt, RTCP_LABELS)
        self.mki = bytes.fromhex(self.cs["mki"])
        self.ssrc = int(self.cs["ssrc"], 16)
        self.roc, self.last = 0, None

    def split(self, packet):
        """RFC 3711 3.1: packet, MKI, tag."""
        end = len(packet) - TAG - len(self.mki)
        if packet[end:-TAG] != self.mki:
            raise Refused("another MKI")
        return packet[:end], packet[-TAG:]

    def open_rtp(self, packet):
        """A packet of a stream in order: its sequence number, timestamp and payload."""
        body, tag = self.split(packet)
        first, kind, seq, timestamp, ssrc = struct.unpack_from(">BBHII", body)
        if (first, kind, ssrc) != (0x80, 96, self.ssrc):
            raise Refused(f"not of this stream: {first:#x}, payload type {kind}, SSRC {ssrc:#x}")
        if self.last is not None and seq < self.last:
            self.roc += 1
        self.last = seq
        check_tag(self.rtp, body + struct.pack(">I", self.roc), tag)
        return seq, timestamp, crypt(self.rtp, ssrc, self.roc << 16 | seq, body[12:])

    def open_rtcp(self, packet):
        """The types in a compound packet of SRTCP (RFC 3711 3.4)."""
        body, tag = self.split(packet)
        check_tag(self.rtcp, body, tag)
        body, (index,) = body[:-4], struct.unpack(">I", body[-4:])
        if not index >> 31 or int.from_bytes(body[4:8], "big") != self.ssrc:
            raise Refused("SRTCP that is not encrypted, or of another SSRC")
        plain = body[:8] + crypt(self.rtcp, self.ssrc, index & 0x7fffffff, body[8:])
        types, at = [], 0
        while at < len(plain):
            types.append(plain[at + 1])
            at += 4 + 4 * int.from_bytes(plain[at + 2:at + 4], "big")
        if at != len(plain):
            raise Refused("RTCP of a wrong length")
        return types


def internet_sum(octets):
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def datagram(ip):
    """What an IP packet carries by UDP, with all checksums right."""
    if ip[0] >> 4 == 4:
        header, addresses, length = 20, ip[12:20], int.from_bytes(ip[2:4], "big") - 20
        if internet_sum(ip[:20]) != 0xffff or ip[9] != 17:
            raise Refused("a wrong IPv4 header")
    else:
        header, addresses, length = 40, ip[8:40], int.from_bytes(ip[4:6], "big")
        if ip[0] >> 4 != 6 or ip[6] != 17:
            raise Refused("a wrong IPv6 header")
    udp = ip[header:]
    pseudo = addresses + struct.pack(">HH", 17, length) + udp + bytes(len(udp) % 2)
    if not length == len(udp) == int.from_bytes(udp[4:6], "big") or internet_sum(pseudo) != 0xffff:
        raise Refused("a wrong UDP header")
    return udp[8:]


def read_pcap(path):
    """The IP packets of a capture."""
    data, at = Path(path).read_bytes(), 24
    magic, _, _, _, _, _, link = struct.unpack_from("<IHHiIII", data)
    if magic != 0xa1b2c3d4 or link != 101:
        raise Refused("not a pcap file of raw IP")
    while at < len(data):
        length, whole = struct.unpack_from("<8xII", data, at)
        if length != whole:
            raise Refused("a cut packet")
        yield data[at + 16:at + 16 + length]
        at += 16 + length


def compare(capture, keys, cs_id, wav):
    with wave.open(wav) as w:
        sent = w.readframes(w.getnframes())
    session, heard, byes, expected = CryptoSession(keys, int(cs_id)), b"", 0, None
    for octets in map(datagram, read_pcap(capture)):
        if 192 <= octets[1] <= 223:
            types = session.open_rtcp(octets)
            if types[0] != 200 or types[-1] != BYE:
                raise Refused(f"RTCP with {types}, where SR first and BYE last were expected")
            byes += 1
            continue
        seq, timestamp, payload = session.open_rtp(octets)
        if expected not in (None, (seq, timestamp)):
            raise Refused(f"packet {seq} at {timestamp} where {expected} was expected")
        expected = (seq + 1 & 0xffff, timestamp + len(payload) // 2 & 0xffffffff)
        heard += struct.pack(f"<{len(payload) // 2}h", *struct.unpack(f">{len(payload) // 2}h",
                                                                      payload))
    if heard != sent or not byes:
        raise Refused(f"{len(heard)} octets of sound and {byes} BYE; {len(sent)} octets were sent")
    print(f"{session.cs['srtp']}: {len(heard)} octets of sound as sent, {byes} BYE")


# RFC 3711 B.3, and RFC 6188 7.2 for AES-256; then the key stream of RFC 3711 B.2.
DERIVATIONS = [
    ("E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6",
     "C61E7A93744F39EE10734AFE3FF7A087", "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4",
     "30CBBC08863D8C85D49DB34A9AE1"),
    ("F0F04914B513F2763A1B1FA130F10E2998F6F6E43E4309D1E622A0E332B9F1B6",
     "3B04803DE51EE7C96423AB5B78D2",
     "5BA1064E30EC51613CAD926C5A28EF731EC7FB397F70A960653CAF06554CD8C4",
     "FD9C32D39ED5FBB5A9DC96B30818454D1313DC05", "FA31791685CA444A9E07C6C64E93"),
]
KEY_STREAM = ("2B7E151628AED2A6ABF7158809CF4F3C", "F0F1F2F3F4F5F6F7F8F9FAFBFCFD",
              "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB")


def vectors():
    for master_key, master_salt, *expected in DERIVATIONS:
        keys = session_keys(bytes.fromhex(master_key), bytes.fromhex(master_salt), RTP_LABELS)
        if [k.hex().upper() for k in keys] != expected:
            raise Refused(f"derived {[k.hex() for k in keys]}, not {expected}")
    key, salt, expected = map(bytes.fromhex, KEY_STREAM)
    if crypt((key, None, salt), 0, 0, bytes(len(expected))) != expected:
        raise Refused("another key stream")
    print(f"{len(DERIVATIONS)} key derivations and a key stream as published")


def main():
    commands = {"vectors": (vectors, 0), "compare": (compare, 4)}
    command, n = commands.get(sys.argv[1] if len(sys.argv) > 1 else None, (None, 0))
    if not command or len(sys.argv) != n + 2:
        sys.exit(__doc__)
    try:
        command(*sys.argv[2:])
    except Refused as why:
        sys.exit(f"srtp_check.py: {why}")


if __name__ == "__main__":
    main()
