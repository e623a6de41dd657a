#!/usr/bin/env python3
"""Media of a network node that has no key: keeps datagrams as they come, and sends them on later.

datagrams.py keep LISTEN FILE     until SIGTERM; FILE is a pcap of raw IP, for tbs-media open
datagrams.py send FILE FROM TO    as fast as they came, but without pauses of more than a second
(addresses as ADDRESS:PORT)
"""
import signal
import socket
import struct
import sys
import time

RAW_IP = 101
FILE_HEADER = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, RAW_IP)
HEADERS = 28  # of IP and UDP


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def checksum(octets):
    """RFC 1071."""
    octets += bytes(len(octets) % 2)
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack(">H", total ^ 0xffff)


def packet(octets, source, to):
    length = 8 + len(octets)
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
    ip = struct.pack(">BBHIBB", 0x45, 0, 20 + length, 0, 64, socket.IPPROTO_UDP)
    udp = struct.pack(">HHH", source[1], to[1], length)
    pseudo = addresses + struct.pack(">HH", socket.IPPROTO_UDP, length)
    return (ip + checksum(ip + addresses) + addresses +
            udp + checksum(pseudo + udp + octets) + octets)


def keep(listen, path):
    listen = address(listen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with socket.socket(type=socket.SOCK_DGRAM) as s, open(path, "wb", buffering=0) as file:
        file.write(FILE_HEADER)
        s.bind(listen)
        while True:
            octets, source = s.recvfrom(2048)
            data, now = packet(octets, source, listen), time.time_ns()
            file.write(struct.pack("<IIII", now // 10**9, now // 1000 % 10**6, len(data), len(data)) +
                       data)


def send(path, source, to):
    with open(path, "rb") as file:
        data, at, last = file.read(), len(FILE_HEADER), None
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.bind(address(source))
        while at < len(data):
            seconds, micros, length, _ = struct.unpack_from("<IIII", data, at)
            now = seconds + micros / 10**6
            if last:
                time.sleep(min(max(now - last, 0), 1))
            last = now
            s.sendto(data[at + 16 + HEADERS:at + 16 + length], address(to))
            at += 16 + length


if __name__ == "__main__":
    commands = {"keep": (keep, 2), "send": (send, 3)}
    if len(sys.argv) < 2 or sys.argv[1] not in commands or \
            len(sys.argv) - 2 != commands[sys.argv[1]][1]:
        sys.exit(__doc__)
    commands[sys.argv[1]][0](*sys.argv[2:])
