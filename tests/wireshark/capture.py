"""Captures made of octets with text2pcap, and what tshark says about them with the dissector."""
import os
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

DLT_USER0 = 147
LUA_ERROR = "_ws.lua.error"
# A frame that is a message and nothing else.
ALONE = '"User 0 (DLT=147)","mikey_ticket","0","","0",""'


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, timeout=120, **options)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]}: status {done.returncode}: {done.stderr.decode()[-2000:]}")
    return done


class Tshark:
    """The dissector is where a person would install it, in a home of its own."""

    def __init__(self, script, folder):
        plugins = Path(folder) / "home/.local/lib/wireshark/plugins"
        plugins.mkdir(parents=True)
        (plugins / "mikey-ticket.lua").write_bytes(Path(script).read_bytes())
        self.environment = {**os.environ, "HOME": str(Path(folder) / "home"), "TZ": "UTC",
                            "LC_ALL": "C.UTF-8"}
        self.environment.pop("XDG_CONFIG_HOME", None)
        self.folder = folder

    def __call__(self, pcap, *options):
        done = run("tshark", "-n", "-o", f"uat:user_dlts:{ALONE}", "-r", pcap, *options,
                   env=self.environment)
        for stream in (done.stdout, done.stderr):
            at = max(stream.find(b"Lua Error"), stream.find(b"Lua: "), stream.find(b".lua:"))
            if at >= 0:
                raise SystemExit(f"{pcap}: {stream[at:at + 600].decode(errors='replace')}")
        return done.stdout

    def packets(self, pcap):
        """Each packet as the list of its protocols, in PDML."""
        return list(ET.fromstring(self(pcap, "-T", "pdml")).iter("packet"))

    def rows(self, pcap, *fields):
        """A tuple of the fields of each packet; several values of a field are joined by commas."""
        options = [word for field in (*fields, LUA_ERROR) for word in ("-e", field)]
        text = self(pcap, "-T", "fields", *options).decode(errors="replace")
        rows = [line.split("\t") for line in text.split("\n")[:-1]]
        for number, row in enumerate(rows):
            if row[-1]:
                raise SystemExit(f"{pcap}, frame {number + 1}: an error of Lua")
        return [tuple(row[:-1]) for row in rows]

    def capture(self, name, frames, *options):
        """text2pcap's options say what is put before the octets of each frame."""
        dump = []
        for direction, octets in frames:
            dump += [direction]
            dump += [f"{at:06x} {octets[at:at + 16].hex(' ')}" for at in range(0, len(octets), 16)]
            dump += [f"{len(octets):06x}"]
        path = f"{self.folder}/{name}.pcap"
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".txt") as text:
            text.write("\n".join(dump) + "\n")
            text.flush()
            run("text2pcap", "-q", "-D", *options, text.name, path)
        return path

    def alone(self, name, messages):
        return self.capture(name, [("O", m) for m in messages], "-l", str(DLT_USER0))


def mikey_protos(packet):
    """The MIKEY messages of a packet, also those inside other protocols."""
    return [p for p in packet.iter("proto") if p.get("name") == "mikey_ticket"] + \
           [f for f in packet.iter("field") if f.get("name") == "mikey_ticket"]


def names_of(tree):
    return {field.get("name") for field in tree.iter("field")}
