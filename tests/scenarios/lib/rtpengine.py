#!/usr/bin/env python3
"""Gives rtpengine, which relays a call, a copy of the call's keys, as a network function with a
media server does. It talks to the ng port in JSON.

rtpengine.py ADDRESS:PORT KEYS OFFER ANSWER OPTION...   OFFER and ANSWER are the SDPs of the two ends
                                                        as they were sent; OPTIONs are JSON objects
                                                        with what else the media server shall do
The only call that rtpengine has is meant.
"""
import json
import socket
import sys
import uuid
from pathlib import Path


class Rtpengine:
    def __init__(self, where):
        host, port = where.rsplit(":", 1)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.connect((host, int(port)))

    def ask(self, **command):
        cookie = uuid.uuid4().hex
        self.socket.send(f"{cookie} {json.dumps(command)}".encode())
        answer = self.socket.recv(65536).decode()
        if not answer.startswith(cookie + " "):
            sys.exit(f"rtpengine answered another question: {answer}")
        answer = json.loads(answer[len(cookie) + 1:])
        if answer.get("result") != "ok":
            sys.exit(f"rtpengine: {command['command']}: {answer}")
        return answer


def with_key(sdp, cs):
    """The SDP with the key of what its sender sends, as RFC 4568 has it; MKI of 4 octets."""
    from keys import inline
    lines = [line for line in Path(sdp).read_text().splitlines()
             if not line.startswith("a=key-mgmt")]
    mki = int(cs["mki"], 16)
    lines.append(f"a=crypto:1 {cs['srtp']} inline:{inline(cs)}|2^31|{mki}:{len(cs['mki']) // 2}")
    return "\r\n".join(lines) + "\r\n"


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    where, keys, offer, answer, *options = sys.argv[1:]
    further = {}
    for option in options:
        further.update(json.loads(option))
    first, second = json.loads(Path(keys).read_text())["crypto_sessions"][:2]
    engine = Rtpengine(where)
    call, = engine.ask(command="list", limit="10")["calls"]
    tags = engine.ask(command="query", **{"call-id": call})["tags"]
    caller = min(tags, key=lambda tag: tags[tag]["created"])
    callee, = (tag for tag in tags if tag != caller)
    common = {"call-id": call, "from-tag": caller, "DTLS": "off", "ICE": "remove", **further}
    print(engine.ask(command="offer", sdp=with_key(offer, first), **common)["sdp"])
    print(engine.ask(command="answer", sdp=with_key(answer, second), **{"to-tag": callee}, **common)
          ["sdp"])


main()
