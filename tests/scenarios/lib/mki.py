#!/usr/bin/env python3
"""Passes SRTP on and takes the MKI off each packet, for receivers that know none. It has no key:
the MKI is neither encrypted nor authenticated (RFC 3711 3.1).

mki.py LISTEN TO LENGTH    (addresses as ADDRESS:PORT; tags of 80 bits)
"""
import socket
import sys

TAG = 10


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    listen, to, length = address(sys.argv[1]), address(sys.argv[2]), int(sys.argv[3])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(listen)
        while True:
            packet = s.recv(2048)
            if len(packet) > TAG + length:
                s.sendto(packet[:-TAG - length] + packet[-TAG:], to)


main()
