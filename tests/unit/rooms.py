#!/usr/bin/env python3
"""Each room includes only the rooms that docs/architecture.md lets it, and the libraries that
are its business. rooms.py SOURCE_ROOT; exit status: 0 so it is, 1 not."""
import os
import re
import sys

# Room: the rooms it may include beside itself, and the foreign headers it may include beside
# those of C, POSIX and OpenSSL.
ROOMS = {
    "src/base": ([], []),
    "src/registry": (["base"], ["jansson.h"]),
    "src/yaml": (["base"], ["cyaml", "yaml.h"]),
    "src/templates": (["base"], ["jansson.h"]),
    "src/mikey": (["base"], []),
    "src/ticket": (["base", "mikey"], []),
    "src/client": (["base", "mikey", "ticket"], ["curl"]),
    "src/store": (["base"], ["sqlite3.h"]),
    "src/custody": (["base", "mikey", "ticket"], []),
    "src/function": (["base", "mikey", "ticket", "client", "custody"], []),
    "src/audit": (["base", "custody"], ["jansson.h"]),
    "tpm": (["base", "custody"], ["tss2", "jansson.h"]),
    "policies": (["base", "yaml", "mikey", "ticket"], ["cyaml"]),
    "src/kms": (["base", "mikey", "ticket", "store", "custody", "policies", "audit"], []),
    "src/shares": (["base"], []),
    "pkcs11": (["base", "templates", "custody", "mikey"], ["p11-kit", "jansson.h"]),
    "src/paper": (["base"], ["qrencode.h", "cairo", "pango"]),
    "src/evidence": (["base", "registry", "templates"], ["jansson.h"]),
    "src/ceremony": (["base", "yaml", "templates", "registry", "evidence", "custody", "pkcs11",
                      "shares"],
                     ["jansson.h", "cyaml"]),
    "src/server": (["base", "yaml"], ["event2", "cyaml", "systemd"]),
}
LIBRARIES = ["p11-kit", "sqlite3.h", "event2", "cyaml", "yaml.h", "systemd", "curl", "jansson.h",
             "srtp2", "sndfile.h", "pcap", "tss2", "qrencode.h", "cairo", "pango"]


def includes(path):
    with open(path, encoding="utf-8") as file:
        return re.findall(r'^\s*#\s*include\s*(["<])([^">]+)[">]', file.read(), re.M)


def check(root, room):
    rooms, libraries = ROOMS[room]
    own = os.path.basename(room)
    problems = []
    for name in sorted(os.listdir(os.path.join(root, room))):
        if not name.endswith((".c", ".h")):
            continue
        for quote, header in includes(os.path.join(root, room, name)):
            first = header.split("/")[0]
            if quote == '"':
                if "/" in header and first != own and first not in rooms:
                    problems.append(f"{room}/{name} includes {header}")
            elif first in LIBRARIES and first not in libraries:
                problems.append(f"{room}/{name} includes <{header}>")
    return problems


def main():
    root = sys.argv[1]
    there = [room for room in ROOMS if os.path.isdir(os.path.join(root, room))]
    problems = [p for room in there for p in check(root, room)]
    for problem in problems:
        print(problem)
    print(f"{len(there)} rooms, {len(problems)} wrong includes")
    return 1 if problems or len(there) < 10 else 0


if __name__ == "__main__":
    sys.exit(main())
