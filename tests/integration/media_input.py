#!/usr/bin/env python3
"""What the test of tbs-media gives it.

media_input.py keys FILE PROFILE     keys for crypto session 1 of a new session
media_input.py change CAPTURE OUT    a capture of more than 100 packets of RTP after an attacker
media_input.py hear WAV OUT          the sound that is left of WAV then
media_input.py replay CAPTURE ADDRESS PORT    sends the datagrams of a capture
media_input.py port                  prints a UDP port that is free
media_input.py caps KEYS             prints SSRC, master key with salt, and MKI, as GStreamer wants
"""
import json
import os
import secrets
import socket
import struct
import sys
import time
import wave

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "peer"))
import srtp_check  # noqa: E402

DROPPED, CHANGED, OTHER_MKI, LATE = 10, 40, 50, 30
FRAMES = 320  # of a packet


def keys(path, profile):
    session = {"cs_id": 1, "srtp": profile, "ssrc": f"0x{secrets.randbits(32):08x}",
               "master_key": secrets.token_hex(srtp_check.KEY_LENGTH[profile]),
               "master_salt": secrets.token_hex(14), "mki": secrets.token_hex(2)}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"csb_id": "0x81556677", "peer": "sip:bob@example.net",
                   "crypto_sessions": [session]}, file)


def with_bit_changed(octets, at):
    octets = bytearray(octets)
    octets[at] ^= 1
    return bytes(octets)


def write_pcap(path, datagrams):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for octets in datagrams:
            packet = (struct.pack(">BBHIBBH", 0x45, 0, 28 + len(octets), 0, 64, 17, 0) +
                      socket.inet_aton("127.0.0.1") * 2 +
                      struct.pack(">HHHH", 40000, 5004, 8 + len(octets), 0) + octets)
            file.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)


def change(capture, out):
    """Of the first 100: 4 are lost and one of these is late, 2 are not authentic, 1 comes twice.
    2 others come in between, and a forged BYE before the real one."""
    d = [srtp_check.datagram(ip) for ip in srtp_check.read_pcap(capture)]
    bye = next(i for i, octets in enumerate(d) if 192 <= octets[1] <= 223)
    mki = len(d[0]) - srtp_check.TAG - 1
    d[bye:bye] = [d[LATE], with_bit_changed(d[bye], 20)]
    d[CHANGED] = with_bit_changed(d[CHANGED], 100)
    d[OTHER_MKI] = with_bit_changed(d[OTHER_MKI], mki)
    d[20], d[21] = d[21], d[20]
    d[60:60] = [b"no RTP", with_bit_changed(d[60], 8), d[59]]  # 8: SSRC
    del d[LATE], d[DROPPED]
    d[0], d[3] = d[3], d[0]
    write_pcap(out, d)


def hear(wav, out):
    with wave.open(wav) as source, wave.open(out, "wb") as result:
        result.setparams(source.getparams())
        frames = bytearray(source.readframes(source.getnframes()))
        for packet in (DROPPED, CHANGED, OTHER_MKI, LATE):
            frames[2 * FRAMES * packet:2 * FRAMES * (packet + 1)] = bytes(2 * FRAMES)
        result.writeframes(frames)


def replay(capture, address, port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                       socket.SOCK_DGRAM) as out:
        for ip in srtp_check.read_pcap(capture):
            out.sendto(ip[40 if ip[0] >> 4 == 6 else 20:][8:], (address, int(port)))
            time.sleep(0.002)  # the receiver's socket has room for some only


def port():
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        print(free.getsockname()[1])


def caps(path):
    with open(path) as file:
        cs = json.load(file)["crypto_sessions"][0]
    print(int(cs["ssrc"], 16), cs["master_key"] + cs["master_salt"], cs["mki"])


if __name__ == "__main__":
    commands = {"keys": keys, "change": change, "hear": hear, "replay": replay, "port": port,
                "caps": caps}
    commands[sys.argv[1]](*sys.argv[2:])
