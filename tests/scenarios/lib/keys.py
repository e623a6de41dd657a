#!/usr/bin/env python3
"""Files of session keys (tbs-media(1)), for SRTP implementations of others.

keys.py same A B                   exit status 0: the same crypto sessions
keys.py gst KEYS CS                caps of GStreamer's udpsrc, for L16 at 16000 Hz
keys.py sdp KEYS CS ADDRESS:PORT   an SDP for ffmpeg, likewise
keys.py inline KEYS CS             base64 of key and salt, as a=crypto has it (RFC 4568)
keys.py mki|mki-length|hex|profile|ssrc KEYS CS
keys.py sample WAV                 tshark's display filter for UDP with a piece of this sound as L16
keys.py absent CAPTURE KEYS...     exit status 0: no master key is in the file, in octets, hex or base64
"""
import base64
import json
import struct
import sys
import wave
from pathlib import Path

GST_CIPHERS = {"AES_CM_128_HMAC_SHA1_80": "aes-128-icm", "AES_256_CM_HMAC_SHA1_80": "aes-256-icm"}


def sessions(path):
    return json.loads(Path(path).read_text())["crypto_sessions"]


def session(path, cs_id):
    return next(c for c in sessions(path) if c["cs_id"] == int(cs_id))


def inline(cs):
    return base64.b64encode(bytes.fromhex(cs["master_key"] + cs["master_salt"])).decode()


def gst(cs):
    cipher = GST_CIPHERS[cs["srtp"]]
    return ("application/x-srtp,media=(string)audio,clock-rate=(int)16000,encoding-name=(string)L16,"
            f"channels=(int)1,payload=(int)96,ssrc=(uint){int(cs['ssrc'], 16)},"
            f"srtp-key=(buffer){cs['master_key']}{cs['master_salt']},mki=(buffer){cs['mki']},"
            f"srtp-cipher=(string){cipher},srtp-auth=(string)hmac-sha1-80,"
            f"srtcp-cipher=(string){cipher},srtcp-auth=(string)hmac-sha1-80,roc=(uint)0")


def sdp(cs, where):
    host, port = where.rsplit(":", 1)
    return (f"v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\nm=audio {port} RTP/SAVP 96\n"
            f"a=rtpmap:96 L16/16000/1\na=rtcp-mux\na=crypto:1 {cs['srtp']} inline:{inline(cs)}")


def absent(capture, *paths):
    data = Path(capture).read_bytes()
    for cs in (cs for path in paths for cs in sessions(path)):
        key = bytes.fromhex(cs["master_key"])
        forms = [key, key.hex().encode(), key.hex().upper().encode(), base64.b64encode(key)[:20]]
        if any(form in data for form in forms):
            return False
    return True


def loud_piece(path):
    """16 octets that stand in the middle of a packet of 20 ms."""
    with wave.open(path) as w:
        frames = w.readframes(w.getnframes())
    starts = range(100, len(frames) - 16, 640)
    at = max(starts, key=lambda n: len(set(frames[n:n + 16])))
    samples = struct.unpack("<8h", frames[at:at + 16])
    return struct.pack(">8h", *samples)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    command, *args = sys.argv[1:]
    match command:
        case "same":
            return sessions(args[0]) == sessions(args[1])
        case "absent":
            return absent(*args)
        case "gst":
            print(gst(session(*args)))
        case "sdp":
            print(sdp(session(*args[:2]), args[2]))
        case "inline":
            print(inline(session(*args)))
        case "mki":
            print(session(*args)["mki"])
        case "mki-length":
            print(len(session(*args)["mki"]) // 2)
        case "hex":
            cs = session(*args)
            print(cs["master_key"] + cs["master_salt"])
        case "profile":
            print(session(*args)["srtp"])
        case "ssrc":
            print(session(*args)["ssrc"])
        case "sample":
            print(f"udp contains {loud_piece(args[0]).hex(':')}")
        case _:
            sys.exit(__doc__)
    return True


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
