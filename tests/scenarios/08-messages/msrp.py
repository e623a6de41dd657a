#!/usr/bin/env python3
"""One end of an MSRP session (RFC 4975) over plain TCP on loopback; TLS is stunnel's.

msrp.py send ADDRESS:PORT TO FROM TEXT    sends TEXT and waits for its 200 and for one message
msrp.py take LISTEN TO FROM TEXT          waits for one message, answers it with 200 and with TEXT
TO and FROM are the MSRP paths of the other end and of this one. What came is printed. Exit status:
0 done, 1 not.
"""
import re
import secrets
import socket
import sys

LIMIT = 65536


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


class End:
    def __init__(self, connection, to, own):
        self.file, self.to, self.own = connection.makefile("rwb"), to, own

    def put(self, start, transaction, headers=(), body=None):
        lines = [f"MSRP {transaction} {start}", f"To-Path: {self.to}", f"From-Path: {self.own}",
                 *headers]
        if body is not None:
            lines += ["Content-Type: text/plain", "", body]
        lines += [f"-------{transaction}$", ""]
        self.file.write("\r\n".join(lines).encode())
        self.file.flush()

    def get(self):
        """Start line without its transaction, headers, body and transaction of what comes next."""
        first = self.line()
        transaction, start = re.fullmatch(r"MSRP (\S+) (.*)", first).groups()
        lines = []
        while (line := self.line()) != f"-------{transaction}$":
            lines.append(line)
        head, _, body = "\n".join(lines).partition("\n\n")
        headers = dict(line.split(": ", 1) for line in head.split("\n"))
        if headers["To-Path"] != self.own or headers["From-Path"] != self.to:
            raise ValueError(f"a message for another session: {headers}")
        return start, headers, body, transaction

    def line(self):
        line = self.file.readline(LIMIT)
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection ended")
        return line[:-2].decode()

    def send(self, text):
        transaction, size = secrets.token_hex(8), len(text.encode())
        self.put("SEND", transaction, [f"Message-ID: {secrets.token_hex(8)}",
                                       f"Byte-Range: 1-{size}/{size}"], text)
        start, _, _, answered = self.get()
        if (start, answered) != ("200 OK", transaction):
            raise ValueError(f"answered with {start} for {answered}")

    def take(self):
        start, headers, body, transaction = self.get()
        size = len(body.encode())
        if start != "SEND" or headers["Byte-Range"] != f"1-{size}/{size}":
            raise ValueError(f"{start} with {headers}")
        self.put("200 OK", transaction)
        print(body, flush=True)


def main():
    if len(sys.argv) != 6 or sys.argv[1] not in ("send", "take"):
        sys.exit(__doc__)
    _, command, where, to, own, text = sys.argv
    if command == "send":
        with socket.create_connection(address(where), 15) as connection:
            end = End(connection, to, own)
            end.send(text)
            end.take()
        return
    with socket.create_server(address(where)) as server:
        server.settimeout(30)
        connection, _ = server.accept()
        with connection:
            end = End(connection, to, own)
            end.take()
            end.send(text)


try:
    main()
except (OSError, ValueError, KeyError, AttributeError) as problem:
    sys.exit(f"msrp.py: {problem!r}")
