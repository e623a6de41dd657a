#!/usr/bin/env python3
"""Stands between a program and a software TPM, and writes down all that passes.

usage: tpm_bus.py LISTEN TPM RECORD   two Unix sockets and a file; ends when it is killed
"""
import select
import socket
import sys


def relay(client, tpm, record):
    """One connection. The software TPM takes one at a time, and so does this."""
    while True:
        ready, _, _ = select.select([client, tpm], [], [])
        for end in ready:
            data = end.recv(65536)
            if not data:
                return
            record.write(data)
            record.flush()
            (tpm if end is client else client).sendall(data)


def main():
    listen, tpm_path, record_path = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as server, open(record_path, "wb") as record:
        server.bind(listen)
        server.listen()
        while True:
            client, _ = server.accept()
            with client, socket.socket(socket.AF_UNIX) as tpm:
                if tpm.connect_ex(tpm_path) == 0:
                    relay(client, tpm, record)


if __name__ == "__main__":
    main()
