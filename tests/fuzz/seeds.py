#!/usr/bin/python3
"""Writes what the fuzzers start from: usage: seeds.py DIRECTORY [CEREMONY...]

One folder per target. The messages are those of the recorded flows and others of the
independent peer; CEREMONY are folders of rehearsals of tests/integration/ceremony-*.yaml. To grow a corpus, fuzz over seeds and corpus, and keep what reaches new code:

    build-clang/tests/fuzz/fuzz-http -max_total_time=600 NEW SEEDS/http tests/fuzz/corpus/http
    build-clang/tests/fuzz/fuzz-http -merge=1 -use_counters=0 tests/fuzz/corpus/http NEW
"""
import json
import sys
from dataclasses import replace
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "peer"))
import mikey_ticket as mt  # noqa: E402

FLOWS = ("plain-256", "forking-256")
MESSAGES = ("request_init", "request_resp", "transfer_init", "transfer_resp", "resolve_init",
            "resolve_resp")
KMS, ALICE, BOB = "sip:kms@example.net", "sip:alice@example.net", "bob@example.net"
USER = mt.Credential(ALICE, "alice-1", bytes(32))


def flow_messages():
    for name in FLOWS:
        flow = json.loads((TESTS / "vectors" / f"{name}.json").read_text())
        for message in MESSAGES:
            yield bytes.fromhex(flow[message])


def wishes(suite):
    """Ticket Policies with all that TP Data can hold."""
    keys = [mt.wished_key(kind, 16, mt.u32(kind)) for kind in mt.SESSION_KEY_TYPES]
    keys.append(mt.KeyData(mt.TEK, bytes(16), kv=mt.KV_INTERVAL, interval=(b"from", b"to")))
    keys.append(mt.KeyData(mt.TGK, b"", kv=mt.KV_NULL))
    policy = mt.wished_policy(suite, "DEFGHIJKLMNO", ALICE, [BOB, ALICE], 1e9, 2e9, keys)
    policy.payloads += [mt.idr(mt.KMS, KMS), mt.idr(mt.APPLICATION, "urn:voice"),
                        mt.Tr(mt.TR_REKEYING, mt.TS_NTP_UTC_32, mt.u32(60)),
                        mt.Tr(mt.TR_ISSUE, mt.TS_COUNTER, mt.u32(1))]
    yield policy
    yield mt.wished_policy(suite, "DEFGH", ALICE, [BOB], 1e9, 2e9, [])
    yield mt.wished_policy(suite, "DEFGHLM", ALICE, [BOB], 1e9, 2e9, None)
    # One more than each limit, and identities of nobody.
    many = [mt.wished_key(mt.TEK, 16, bytes(0))] * 31
    yield mt.wished_policy(suite, "DEFGH", ALICE, [BOB], 1e9, 2e9, many)
    yield mt.wished_policy(suite, "DEFGH", ALICE, [BOB], 1e9, 2e9, many + many[:2])
    yield mt.wished_policy(suite, "DEFGH", ALICE, [BOB] * 17, 1e9, 2e9, [])
    yield mt.wished_policy(suite, "DEFGH", "", [""], 1e9, 2e9, [])


def sample_ticket(suite, policy):
    keys = [mt.KeyData(mt.TGK, bytes(16), mt.u32(1)),
            mt.KeyData(mt.TEK_SALT, bytes(16), mt.u32(2), bytes(14))]
    content = mt.TicketContent(suite, mt.ntp_now(), bytes(32), mt.idr(mt.PSK, "tpk-2026-01"),
                               bytes(suite.key_len), keys, thdr=b"header")
    return mt.build_ticket(replace(policy, payloads=[p for p in policy.payloads if not
                                                     isinstance(p, mt.Kemac)]), content, bytes(32))


def peer_messages():
    for suite in mt.SUITES.values():
        for policy in wishes(suite):
            yield mt.build_request_init(suite, USER, KMS, policy)
            ticket = sample_ticket(suite, policy)
            yield mt.build_resolve_init(suite, USER, KMS, ticket)
            grant = mt.Grant(suite, ticket, bytes(32), bytes(32), [], None)
            sessions = [mt.CryptoSession(1, 0, 1, (0,), bytes(10), b"spi"),
                        mt.CryptoSession(2, 7, 0, (0, 1), b"other", b"")]
            yield mt.build_transfer_init(grant, ALICE, BOB, sessions)
        hdr = mt.Hdr(mt.ERROR, suite.prf, 1)
        yield mt.protect(mt.Message(hdr, [mt.ntp_now(), mt.Err(mt.ERR_TICKET)]),
                         mt.message_keys(suite, USER.psk, 1, mt.LABEL_INIT))


def messages():
    yield from flow_messages()
    yield from peer_messages()


def updates():
    """Of either side, with each kind of key; and answers. The fuzz target makes their MAC."""
    stamp = mt.T(mt.TS_NTP_UTC, ((1800000100 + mt.NTP_OFFSET) << 32).to_bytes(8, "big"))
    suite = mt.SUITES[256]
    hdr = mt.Hdr(mt.TRANSFER_INIT, suite.prf, 1, 1, mt.MAP_GENERIC_ID)
    for sender, kinds in ((mt.INITIATOR, ()), (mt.RESPONDER, mt.SESSION_KEY_TYPES)):
        for data_type in (mt.TRANSFER_INIT, mt.TRANSFER_RESP):
            sessions = (mt.CryptoSession(1, 0, 0, (0,), bytes(4), b""),
                        mt.CryptoSession(3, 0, 1, (0,), bytes(10), bytes(3) + b"\1"))
            names = {mt.INITIATOR: "sip:alice@example.net", mt.RESPONDER: "sip:bob@example.net"}
            payloads = [stamp] + [mt.idr(r, names[r]) for r in (sender, mt.other(sender))]
            payloads.append(mt.srtp_policy(0, 32))
            if kinds:
                payloads.append(mt.Kemac(suite.encr_alg, mt.encode_keys(
                    [mt.new_key(kind, 32) for kind in kinds])))
            message = mt.Message(replace(hdr, data_type=data_type, sessions=sessions, count=2),
                                 payloads)
            yield mt.protect(message, mt.message_keys(suite, bytes(32), 1, mt.LABEL_RESP))


def ticket_data():
    """Ticket Data as it is sent, and the keys of KEMACs that are not encrypted."""
    for raw in messages():
        message = mt.Message.decode(raw)
        ticket, wish = message.find(mt.Ticket), message.find(mt.Tp)
        if ticket:
            yield ticket.data
        kemac = wish and wish.policy.find(mt.Kemac)
        if kemac:
            yield kemac.encr_data


def stored_blobs():
    """The octets of custody.h for both methods."""
    yield b"\1\1\13kek-2026-01" + bytes(12) + bytes(32) + bytes(16)
    yield b"\1\2\13kek-2026-01" + bytes(32) + bytes(12) + bytes(32) + bytes(16)


def http_heads():
    for lines in (
            ["POST /mikey HTTP/1.1", "Host: 127.0.0.1:8087", "Content-Type: application/mikey",
             "Content-Length: 123"],
            ["POST http://kms.example.net/mikey?x=1 HTTP/1.1", "host:a", "Accept: */*",
             "Content-Type: Application/MIKEY; charset=x", "Content-Length: 18446744073709551615",
             "Expect: 100-continue", "Connection: keep-alive, Close"],
            ["POST /mikey HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"],
            ["GET /metrics HTTP/1.0", "Connection: close"]):
        yield "".join(line + "\r\n" for line in lines + [""]).encode()


def script_of(text):
    """A script as src/evidence/verify.h has it."""
    import yaml  # only here: whoever makes no new seeds needs none

    script = yaml.safe_load(text)
    for step in script["steps"]:
        step["present"] = [{"role": role.partition(">=")[0], "least": int(role.partition(">=")[2] or 1)}
                           for role in step["present"]]
    for role in script["roles"]:
        role.setdefault("not_with", [])
    return {name: script[name] for name in ("ceremony", "quorum", "keys", "roles", "waivers", "steps")
            if name in script}


def transcripts():
    """The parts of transcript.c: whole, without attributes, and as they are."""
    parts = (("site", "site.yaml"), ("ceremony", "ceremony.yaml"), ("registry", "registry-1.jsonl"),
             ("blob", "blobs/tpk-1.B.blob"), ("wrapped", "blobs/canary-1.escrow-1.blob"),
             ("escrow", "blobs/escrow-1.escrow"), ("key", "keys/csk-1.pem"))
    for folder in map(Path, sys.argv[2:]):
        files = b"".join(b"=== %s\n" % part.encode() + (folder / name).read_bytes()
                         for part, name in parts if (folder / name).exists())
        script = json.dumps(script_of((folder / "ceremony.yaml").read_text())).encode()
        raw = (folder / "transcript.jsonl").read_bytes()
        lines = [json.loads(line) for line in raw.splitlines()]
        yield b"=== script\n" + script + b"\n" + files + b"=== raw\n" + raw
        for line in lines:
            del line["seq"], line["prev"], line["time"]
        few = [{k: v for k, v in line.items() if k not in ("attributes", "objects", "mechanisms")}
               for line in lines]
        for some in (few, lines[:40], few[::3]):
            yield b"=== script\n" + script + b"\n=== lines\n" + b"".join(
                json.dumps(line).encode() + b"\n" for line in some)


def scripts():
    for folder in map(Path, sys.argv[2:]):
        yield (folder / "ceremony.yaml").read_bytes() + b"=== site\n" + (folder / "site.yaml").read_bytes()
        yield b"".join((folder / "ceremony.yaml").read_bytes().splitlines(True)[:20])


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for name, seeds in (("message", messages), ("ticket_data", ticket_data), ("update", updates),
                        ("stored_blob", stored_blobs), ("http", http_heads),
                        ("transcript", transcripts), ("script", scripts)):
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True)
        for number, octets in enumerate(seeds()):
            (folder / f"seed-{number:02}").write_bytes(octets)


if __name__ == "__main__":
    main()
