#!/usr/bin/python3
"""Takes HMAC keys out of the memory of a software TPM that has just used them.

usage: swtpm_keys.py PID LISTING   prints "ID HEX" for each HMAC key of the listing

A TPM gives no key away, but swtpm is a program: root finds a length and a key that has the check
value that `tbs-admin keys` (the listing) told. That one is the truth memory.py searches for.
"""
import hmac
import re
import sys

import memory

HASHES = {"HMAC-SHA-256": ("sha256", 32), "HMAC-SHA-1": ("sha1", 20)}


def candidates(mappings, size):
    """What follows its own length: TPM2B structures, as the TPM holds them."""
    for data in mappings:
        for m in re.finditer(re.escape(size.to_bytes(2, sys.byteorder)), data):
            yield data[m.end():m.end() + size]


def main():
    pid, listing = sys.argv[1:]
    mappings = [data for _, _, data in memory.regions(pid)]
    with open(listing, encoding="utf-8") as lines:
        keys = [line.split()[:4] for line in lines][1:]
    for ident, _, algorithm, check_value in keys:
        name, size = HASHES[algorithm]
        found = {key for key in candidates(mappings, size)
                 if hmac.digest(key, b"", name).hex().startswith(check_value)}
        if len(found) != 1:
            sys.exit(f"{ident}: {len(found)} keys in swtpm's memory have its check value")
        print(ident, found.pop().hex())


if __name__ == "__main__":
    main()
