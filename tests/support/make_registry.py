#!/usr/bin/env python3
"""Writes a key registry, signed by OpenSSL's command line: another hand than the one that reads it.

make_registry.py OUT FACTS [--sequence N] [--previous FILE] [--rehearsal] [--sign KEY.pem]...
                 [--set ID.FIELD=VALUE]... [--drop ID]...

FACTS is what `tbs-admin --json keys check-values` prints; a key of the previous registry keeps the
check value that it has there, since that of AES is another block each time. All keys are site-only and active, from
yesterday, protect for 100 days and process for 200, unless --set says otherwise; VALUE is a text,
a time +SECONDS from now, or for FIELD `check` the check value. --set ID.token=SERIAL=local|restored
replaces the tokens."""
import argparse
import base64
import datetime
import hashlib
import json
import subprocess

DAY = 86400


def when(seconds):
    t = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return t.strftime("%Y-%m-%dT%H:%M:%SZ")


def key_of(fact):
    serials = fact["tokens"].split()
    return {"id": fact["id"], "role": fact["role"], "algorithm": fact["algorithm"],
            "check": {"method": fact["method"], "value": fact["check_value"]},
            "custody": "site-only", "state": "active", "not_before": when(-DAY),
            "protect_until": when(100 * DAY), "process_until": when(200 * DAY),
            "since": when(-DAY), "tokens": serials, "origin": {s: "local" for s in serials}}


def change(key, field, value):
    if field == "check":
        key["check"]["value"] = value
    elif field == "token":
        serial, origin = value.split("=")
        key["tokens"], key["origin"] = [serial], {serial: origin}
    elif value[:1] in "+-" and value[1:].isdigit():
        key[field] = when(int(value))
    else:
        key[field] = value


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def signature_line(octets, pem):
    def openssl(*words, stdin=None):
        return subprocess.run(("openssl",) + words, input=stdin, capture_output=True,
                              check=True).stdout
    spki = openssl("pkey", "-in", pem, "-pubout", "-outform", "DER")
    signature = openssl("dgst", "-sha256", "-sign", pem, stdin=octets)
    return canonical({"type": "signature", "key": hashlib.sha256(spki).hexdigest(),
                      "algorithm": "ECDSA-SHA256",
                      "signature": base64.b64encode(signature).decode()})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("facts")
    parser.add_argument("--sequence", type=int, default=1)
    parser.add_argument("--previous")
    parser.add_argument("--rehearsal", action="store_true")
    parser.add_argument("--sign", action="append", default=[])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--drop", action="append", default=[])
    a = parser.parse_args()
    with open(a.facts, encoding="utf-8") as file:
        keys = {f["id"]: key_of(f) for f in json.load(file) if f["id"] not in a.drop}
    previous = "0" * 64
    if a.previous:
        with open(a.previous, "rb") as file:
            line = file.readline().rstrip(b"\n")
        previous = hashlib.sha256(line).hexdigest()
        for key in json.loads(line)["keys"]:
            keys[key["id"]]["check"] = key["check"]
    for setting in a.set:
        name, value = setting.split("=", 1)
        key, field = name.rsplit(".", 1)
        change(keys[key], field, value)
    line = canonical({"type": "tbs-key-registry", "version": 1, "sequence": a.sequence,
                      "made": when(0), "previous": previous, "rehearsal": a.rehearsal,
                      "keys": list(keys.values())})
    with open(a.out, "w", encoding="utf-8") as file:
        print(line, *(signature_line(line.encode(), pem) for pem in a.sign), sep="\n", file=file)


if __name__ == "__main__":
    main()
