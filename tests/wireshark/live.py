#!/usr/bin/python3
"""Whether a capture holds these messages and no others: usage: live.py SCRIPT PCAP MESSAGE..."""
import sys
import tempfile
from pathlib import Path

from capture import Tshark, mikey_protos
from check import MALFORMED, check_cover, names_of, problems

script, pcap, *paths = sys.argv[1:]
messages = [Path(path).read_bytes() for path in paths]
with tempfile.TemporaryDirectory(prefix="tbs-test.") as folder:
    found = [p for packet in Tshark(script, folder).packets(pcap) for p in mikey_protos(packet)]
if len(found) != len(messages):
    sys.exit(f"{len(found)} messages in the capture, {len(messages)} were sent")
for proto, octets, path in zip(found, messages, paths):
    size = int(proto.get("size"))
    if size != len(octets) or MALFORMED in names_of(proto):
        sys.exit(f"{path}: {len(octets)} octets, {size} in the capture, or malformed there")
    [kind] = [f for f in proto.iter("field") if f.get("name") == "mikey_ticket.hdr.data_type"]
    if int(kind.get("value"), 16) != octets[1]:
        sys.exit(f"{path}: data type {octets[1]}, in the capture {kind.get('showname')}")
    check_cover(proto, int(proto.get("pos")), len(octets), path)
if problems:
    sys.exit("\n".join(problems))
print(f"{len(found)} messages on the wire, each octet in a field")
