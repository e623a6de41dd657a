#!/usr/bin/env python3
"""embed.py FILE NAME OUTPUT: the octets of FILE as a constant array NAME of C."""
import sys

source, name, output = sys.argv[1:]
with open(source, "rb") as file:
    octets = file.read()
rows = [", ".join(map(str, octets[i:i + 20])) for i in range(0, len(octets), 20)]
with open(output, "w", encoding="ascii") as file:
    file.write(f"static const unsigned char {name}[] = {{\n    " + ",\n    ".join(rows) + "};\n")
