#!/usr/bin/python3
"""The Wireshark dissector against the decoder of tbs-kms: usage: check.py SCRIPT TBS

SCRIPT is mikey-ticket.lua, TBS the program tbs, whose `inspect --json` is the other opinion.
Exit status: 0 all is well, 1 something is not, 77 tshark is not installed.
"""
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode
from pathlib import Path

from capture import Tshark, mikey_protos, names_of
import examples

MUTATIONS = 3000
MALFORMED = "mikey_ticket.malformed"
problems = []


def expect(right, what):
    if not right:
        problems.append(what)


# --- The other opinion ---


def inspect(tbs, folder, messages):
    """What `tbs inspect` makes of each message; it must begin with 1 to be taken as octets."""
    paths = []
    for number, octets in enumerate(messages):
        paths.append(Path(folder) / f"{number:05}.mikey")
        paths[-1].write_bytes(octets)
    trees = []
    for at in range(0, len(paths), 500):
        done = subprocess.run([tbs, "inspect", "--json", *paths[at:at + 500]], timeout=120,
                              capture_output=True)
        if done.returncode not in (0, 1) or b"Sanitizer" in done.stderr:
            sys.exit(f"tbs inspect: status {done.returncode}: {done.stderr.decode()[-2000:]}")
        trees += [entry["message"] for entry in json.loads(done.stdout)]
    for path in paths:
        path.unlink()
    if len(trees) != len(messages):
        sys.exit(f"tbs inspect shows {len(trees)} messages of {len(messages)}")
    return trees


def is_broken(tree):
    return "error" in tree or any(map(is_broken, tree.get("fields", [])))


def plain_text(value):
    """The octets that the inspector shows as text, with its escapes undone."""
    return re.sub(rb"\\(x[0-9a-f]{2}|\\)", lambda m: bytes.fromhex(m[1][1:].decode())
                  if m[1] != b"\\" else b"\\", value.encode())


def same_value(want, field):
    """Whether a field's octets are what the inspector shows, as number, hex or text."""
    value, octets = want["value"], field.get("value") or ""
    if isinstance(value, int):
        return int(octets, 16) == value
    if re.fullmatch(r"\d+ octets.*", value) or re.fullmatch(r"[0-9a-f]{16}… \(\d+ octets\)", value):
        return octets.startswith(value[:16]) or value.startswith(f"{len(octets) // 2} octets")
    if octets == value or bytes.fromhex(octets) == plain_text(value):
        return True
    return value.isdigit() and int(value) in {int(octets[:end], 16) for end in (8, None)}


def is_named(field, name):
    shown = re.sub(r"^[01. ]+ = ", "", field.get("showname") or field.get("show"))
    return shown == name or shown.startswith(name + ":")


def words(text):
    return set(re.findall(r"[\w/+#.-]+", text.lower()))


def same_meaning(want, field):
    """Whether both have the same name for a number; one may say more."""
    shown = re.sub(r" \(\d+\)$", "", field.get("showname").split(": ", 1)[1])
    here, there = words(shown), words(want["meaning"])
    return want["meaning"] == "unknown" or here <= there or there <= here


def compare_one(want, fields, source):
    at, octets = want["offset"], want.get("length")
    here = [f for f in fields if int(f.get("pos")) == at and is_named(f, want["name"])
            and (octets is None or int(f.get("size")) == octets)]
    if not here:
        problems.append(f"{source}: no field {want['name']} of {octets} octets at {at}")
    elif "fields" not in want and "value" in want and want["name"] != "MIKEY message" \
            and not re.search(r" \(\d+\)$", want["name"]) \
            and not any(same_value(want, f) for f in here):
        problems.append(f"{source}: {want['name']} at {at} is {here[0].get('value')}, not "
                        f"{want['value']}")
    elif isinstance(want.get("value"), int) and "meaning" in want and want["name"] != "Res":
        expect(any(same_meaning(want, f) for f in here),
               f"{source}: {want['name']} at {at}: {here[0].get('showname')}, not {want['meaning']}")
    elif re.search(r" \(\d+\)$", want["name"]) and "value" in want:
        value = [f for f in here[0] if is_named(f, "Value")]
        expect(same_value(want, value[0]) if value else want["value"] == "",
               f"{source}: {want['name']} at {at}")


def walk(tree):
    for field in tree.get("fields", []):
        if field.get("length", 1) > 0:
            yield field
        yield from walk(field)


# --- Octets ---


def leaves(tree):
    for field in tree:
        if field.tag == "field" and int(field.get("size") or 0) > 0:
            if not any(int(f.get("size") or 0) > 0 for f in field):
                yield field
            else:
                yield from leaves(field)


def check_cover(proto, base, length, source):
    """Each octet is in exactly one place: fields overlap only where they are bits of the same."""
    covered = [None] * length
    for field in leaves(proto):
        span = (int(field.get("pos")) - base, int(field.get("size")))
        expect(field.get("name") != "mikey_ticket.undissected", f"{source}: undissected at {span}")
        for at in range(span[0], sum(span)):
            expect(covered[at] in (None, span), f"{source}: two fields at {at}")
            covered[at] = span
    bare = [at for at, span in enumerate(covered) if span is None]
    expect(not bare, f"{source}: octets that are in no field: {bare[:10]}")


# --- Tests ---


def check_sound(tshark, tbs, folder):
    """Every message that the C decoder takes: the same fields with the same values."""
    messages = [m for m in [*examples.sound(), *examples.corpus()] if m[:1] == b"\1"]
    trees = inspect(tbs, folder, messages)
    kept = [(m, t) for m, t in zip(messages, trees) if not is_broken(t)]
    packets = tshark.packets(tshark.alone("sound", [m for m, _ in kept]))
    expect(len(packets) == len(kept), f"{len(packets)} packets of {len(kept)}")
    n = 0
    for number, ((octets, tree), packet) in enumerate(zip(kept, packets)):
        source = f"message {number}, {tree['value']}"
        [proto] = mikey_protos(packet)
        fields = list(proto.iter("field"))
        expect(MALFORMED not in names_of(proto), f"{source}: malformed")
        for want in walk(tree):
            compare_one(want, fields, source)
            n += 1
        check_cover(proto, 0, len(octets), source)
    own = [*examples.rfc3830(), *examples.rfc6043()]
    broken = [m.hex() for m, t in zip(messages, trees) if is_broken(t) and m in own]
    expect(not broken, f"examples that the decoder does not take: {broken}")
    kinds = {m[1] for m, _ in kept}
    expect(kinds >= {0, 1, 2, 4, 5, 6, *range(11, 19)}, f"only the data types {kinds}")
    print(f"{len(kept)} messages of data types {sorted(kinds)}: {n} fields as tbs inspect has them, "
          "each octet in a field")
    return [m for m, _ in kept]


def mutate(rng, octets):
    """Bits, octets, lengths, cuts and additions; one message in four more than once."""
    octets = bytearray(octets)
    for _ in range(rng.choice((1, 1, 1, 4))):
        at = rng.randrange(len(octets))
        what = rng.randrange(5)
        if what == 0:
            octets[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            octets[at] = rng.choice((0, 1, 4, 17, 20, 127, 255))
        elif what == 2:
            del octets[max(at, 1):]
        elif what == 3:
            octets[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            del octets[at:at + rng.randrange(1, 9)]
        octets = octets or bytearray(1)
    return bytes(octets)


def check_mutations(tshark, tbs, folder, messages):
    """No mutation is an error of Lua, and what is malformed is so to both."""
    rng = random.Random(6043)
    mutated = [mutate(rng, rng.choice(messages)) for _ in range(MUTATIONS)]
    mutated.append(examples.message(26, []))  # MIKEY-SAKKE, which is Wireshark's own
    rows = tshark.rows(tshark.alone("mutated", mutated), "frame.number", MALFORMED, "frame.len")
    expect(len(rows) == len(mutated), f"{len(rows)} rows for {len(mutated)} mutations")
    compared = [(m, r) for m, r in zip(mutated[:MUTATIONS], rows)
                if m[:1] == b"\1" and m[1:2] != b"\x1a" and m[1:2]]
    trees = inspect(tbs, folder, [m for m, _ in compared])
    malformed = 0
    for (octets, row), tree in zip(compared, trees):
        malformed += is_broken(tree)
        expect(bool(row[1]) == is_broken(tree),
               f"{octets.hex()}: malformed to {'tbs' if is_broken(tree) else 'tshark'} alone")
    expect(100 < malformed < len(compared) - 100, f"{malformed} of {len(compared)} are malformed")
    print(f"{len(mutated)} mutations, no error of Lua; both find the same {malformed} of "
          f"{len(compared)} malformed")


def check_wrong(tshark):
    """What must be malformed, one by one."""
    wrong = dict(examples.wrong())
    rows = tshark.rows(tshark.alone("wrong", wrong.values()), MALFORMED, "frame.len")
    for name, (malformed, _) in zip(wrong, rows):
        expect(malformed, f"{name}: not malformed")


def check_cut(tshark, messages):
    """Every length of a message, as a whole frame."""
    longest = max(messages, key=len)
    cuts = [longest[:n] for n in range(1, len(longest))]
    for octets, row in zip(cuts, tshark.rows(tshark.alone("cut", cuts), MALFORMED, "frame.len")):
        expect(row[0], f"cut after {len(octets)} octets is not malformed")
    print(f"a message of {len(longest)} octets, cut after each")


def check_snaplen(tshark, messages):
    """A capture that did not take whole frames is not the sender's fault."""
    path = tshark.alone("whole", [max(messages, key=len)])
    short = f"{tshark.folder}/short.pcap"
    subprocess.run(["editcap", "-s", "100", path, short], check=True, timeout=60)
    [(cut, malformed)] = tshark.rows(short, "mikey_ticket.cut", MALFORMED)
    expect(cut and not malformed, "a short capture is said to be malformed")


def http(start, octets, kind="application/mikey"):
    return (f"{start}\r\nHost: kms\r\nContent-Type: {kind}\r\nContent-Length: {len(octets)}\r\n"
            "\r\n").encode() + octets


def check_http(tshark, request, response):
    """In one segment and in several."""
    ask = http("POST /mikey HTTP/1.1", request)
    answer = http("HTTP/1.1 200 OK", response, "application/mikey; x=y")
    frames = [("O", ask), ("I", answer[:200]), ("I", answer[200:]), ("O", http(
        "POST /mikey HTTP/1.1", request, "text/plain"))]
    path = tshark.capture("http", frames, "-T", "40000,8087")
    found = [[p for p in mikey_protos(packet)] for packet in tshark.packets(path)]
    expect([len(f) for f in found] == [1, 0, 1, 0], f"HTTP: messages in {[len(f) for f in found]}")
    for octets, at in ((request, 0), (response, 2)):
        if found[at]:
            check_cover(found[at][0], int(found[at][0].get("pos")), len(octets), f"HTTP {at}")
    expect(tshark.rows(path, "mikey_ticket.hdr.data_type")[0] == (str(request[1]),), "HTTP type")
    print("HTTP: whole and in segments")


SDP = """v=0\r
o=- 1 1 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
{session}m=audio 40000 RTP/SAVP 96\r
a=rtpmap:96 L16/16000\r
{first}m=audio 40002 RTP/SAVP 96\r
a=rtpmap:96 L16/16000\r
{second}"""


def sip(octets, method="INVITE sip:bob@example.net SIP/2.0", kind="application/sdp"):
    return (f"{method}\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\n"
            f"Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(octets)}\r\n\r\n").encode() + octets


def key_mgmt(octets):
    return f"a=key-mgmt:mikey {b64encode(octets).decode()}\r\n"


def check_sdp(tshark, init, response):
    empty = {"session": "", "first": "", "second": ""}
    bodies = [{**empty, "session": key_mgmt(init)}, {**empty, "first": key_mgmt(init)},
              {**empty, "first": key_mgmt(init), "second": key_mgmt(response)},
              {**empty, "session": "a=key-mgmt:other AAAA\r\n"},
              {**empty, "session": "a=key-mgmt:mikey !!!\r\n"},
              {**empty, "first": "a=key-mgmt:mikey !!!\r\na=key-mgmt:mikey\r\n"}]
    frames = [("O", sip(SDP.format(**body).encode())) for body in bodies]
    frames.append(("O", sip(init, kind="application/mikey")))
    path = tshark.capture("sip", frames, "-u", "5060,5060")
    packets = tshark.packets(path)
    want = [[init], [init], [init, response], [], [], [], [init]]
    for number, (packet, messages) in enumerate(zip(packets, want)):
        found = mikey_protos(packet)
        expect(len(found) == len(messages), f"SDP {number}: {len(found)} messages")
        for proto, octets in zip(found, messages):
            base = int(proto.get("pos"))
            expect(MALFORMED not in names_of(proto), f"SDP {number}: malformed")
            check_cover(proto, base, len(octets), f"SDP {number}")
    protocol, info = tshark.rows(path, "_ws.col.Protocol", "_ws.col.Info")[2]
    expect(protocol == "SIP/SDP/MIKEY", f"SDP protocol: {protocol}")
    expect("MIKEY TRANSFER_INIT" in info and "MIKEY TRANSFER_RESP" in info, f"SDP info: {info}")
    print("SDP: at session level, at one and at two m lines; as a body of SIP")


def check_words(tshark, messages):
    """What a person filters for."""
    rows = tshark.rows(tshark.alone("words", messages), "_ws.col.Protocol", "_ws.col.Info",
                       "mikey_ticket.error")
    for row, message in zip(rows, messages):
        expect(row[0] == "MIKEY", f"the protocol is {row[0]}")
        expect(message[1] != 14 or row[1].startswith("MIKEY TRANSFER_INIT"),
               f"info: {row[1]}")
    expect(any("Error: Invalid TICKET" in r[1] and r[2] for r in rows), "no Error is shown")
    rules = {"NOT D implies L", "G implies F", "NOT G implies H", "I implies E", "K implies D",
             "M implies F"}
    flags = [examples.policy(letters) for letters in ("", "GIKM", "DEFGHIJKM", "HL")]
    found = [{rule for rule in rules if rule in row[0].split(",")} for row in
             tshark.rows(tshark.alone("flags", flags), "_ws.expert.message")]
    expect(found == [{"NOT D implies L", "NOT G implies H"}, rules - {"NOT G implies H"}, set(),
                     set()], f"contradicting flags: {found}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if not shutil.which("tshark"):
        print("tshark is not installed")
        sys.exit(77)
    script, tbs = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="tbs-test.") as folder:
        tshark = Tshark(script, folder)
        messages = check_sound(tshark, tbs, folder)
        of_type = {m[1]: m for m in reversed(list(examples.seeds.flow_messages()))}
        check_mutations(tshark, tbs, folder, messages)
        check_wrong(tshark)
        check_cut(tshark, list(examples.seeds.flow_messages()))
        check_snaplen(tshark, list(examples.seeds.flow_messages()))
        check_http(tshark, of_type[11], of_type[13])
        check_sdp(tshark, of_type[14], of_type[15])
        check_words(tshark, messages)
    for problem in problems[:20]:
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(f"{len(problems)} problems")


if __name__ == "__main__":
    main()
