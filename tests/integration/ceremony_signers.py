#!/usr/bin/env python3
"""People who sign with keys in tokens of their own: PINs that are typed, mistyped, or entered at a
pad, a public key of somebody else. ceremony_signers.py TBS-CEREMONY VERIFY MOCK-PKCS11; exit status
0: all is well."""
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile

import ceremony_room
from ceremony_room import PINS, SOFTHSM, USUAL, Room, check, records, softhsm

SCRIPT = """
ceremony: signers
title: Signed by two people
operator: CA
roles:
  - {id: CA, title: ceremony administrator, people: 1, not_with: [IW]}
  - {id: IW, title: witness, people: 2}
tokens: [A]
waivers:
  - {rule: softhsm, of: A, reason: a test, by: Gus}
  - {rule: oaep-sha1, of: A, reason: a test, by: Gus}
keys:
  - {id: csk-1, role: ceremony, template: ceremony-ecdsa-p256-v1, custody: site-only, protect_days: 30, process_days: 60}
  - {id: audit-1, role: audit, template: audit-ecdsa-p256-v1, custody: site-only, protect_days: 30, process_days: 60}
steps:
  - {id: "1", title: Token A, do: initialise, class: irreversible, on: [A], present: [CA, IW>=2], confirm: IW, abort: leave}
  - {id: "2", title: The signing key, do: generate, key: csk-1, class: create, on: [A], present: [CA, IW], confirm: IW, abort: destroy-new-objects}
  - {id: "3", title: The audit key, do: generate, key: audit-1, class: create, on: [A], present: [CA, IW], confirm: IW, abort: destroy-new-objects}
  - {id: "4", title: It comes into use, do: state, key: audit-1, state: active, class: observe, present: [CA, IW], confirm: IW}
  - {id: "5", title: The registry, do: registry, key: csk-1, class: irreversible, on: [A], sign: [IW], present: [CA, IW], confirm: IW, abort: leave}
  - {id: "6", title: The record is signed, do: checkpoint, key: csk-1, class: observe, on: [A], sign: [IW], present: [CA, IW], confirm: IW}
"""
OWN = {"gus": "gus-pin-57721", "hal": "hal-pin-16180"}


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout


def make_token(folder, name, kind):
    """A person's token with one key pair; gives the file of the public half."""
    run("softhsm2-util", "--module", SOFTHSM, "--init-token", "--free", "--label", name, "--so-pin",
        "so-pin-of-" + name, "--pin", OWN[name])
    tool = ("pkcs11-tool", "--module", SOFTHSM, "--token-label", name, "--login", "--pin", OWN[name])
    run(*tool, "--keypairgen", "--key-type", kind, "--label", "sign", "--id", "07")
    der = run(*tool, "--read-object", "--type", "pubkey", "--id", "07")
    file = os.path.join(folder, name + ".pem")
    subprocess.run(["openssl", "pkey", "-pubin", "-inform", "DER", "-out", file], input=der,
                   check=True, capture_output=True, timeout=60)
    return file


def verifies(public, octets, signature, folder):
    for name, content in (("signed", octets), ("signature", signature)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    pss = []
    if b"Modulus" in run("openssl", "pkey", "-pubin", "-in", public, "-noout", "-text"):
        pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
    return subprocess.run(["openssl", "dgst", "-sha256", "-verify", public, *pss, "-signature",
                           os.path.join(folder, "signature"), os.path.join(folder, "signed")],
                          capture_output=True, timeout=60).returncode == 0


def perform(ceremony, verify, mock, folder):
    ceremony_room.SECRETS.extend(OWN.values())
    softhsm(folder)
    publics = {"Gus": make_token(folder, "gus", "EC:prime256v1"),
               "Hal": make_token(folder, "hal", "rsa:2048")}
    rules = os.environ["MOCK_PKCS11_SCRIPT"] = os.path.join(folder, "mock.script")
    own = [(r"PIN of token '(gus|hal)'[^\n]*: $", lambda m: OWN[m[1]]),
           (r"new PIN of the user of token A[^\n]*: $", PINS["user"]), *USUAL]
    rooms = []

    def misbehave(text):
        with open(rules + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(rules + ".new", rules)

    def site(gus, public=publics["Gus"]):
        name = os.path.join(folder, "site.yaml")
        with open(name, "w", encoding="utf-8") as file:
            file.write(f"tokens:\n  - {{name: A, module: {SOFTHSM}, fresh: true, entropy: a test, oaep: sha-1}}\n"
                       "people:\n  - {role: CA, name: Ann}\n"
                       f"  - {{role: IW, name: Gus, key: \"{gus}\", module: {mock}, public: {public}}}\n"
                       "  - {role: IW, name: Hal, key: \"pkcs11:token=hal;id=%07\", "
                       f"module: {SOFTHSM}, public: {publics['Hal']}}}\n")
        return name

    def begin(name, *site_of, once=()):
        place = os.path.join(folder, name)
        script = os.path.join(folder, "script.yaml")
        with open(script, "w", encoding="utf-8") as file:
            file.write(SCRIPT)
        rooms.append(Room(ceremony, "run", "--script", script, "--site", site(*site_of), place))
        return place, rooms[-1].talk(own, once), rooms[-1].seen

    misbehave("")
    gus = "pkcs11:token=gus;object=sign"

    # Each of them is told what is wrong, at once.
    for n, (uri, public, status, said) in enumerate((
            (gus + "?pin-value=0815", publics["Gus"], 3, "has a query part"),
            ("pkcs11:token=gus", publics["Gus"], 3, "must hold token= or serial=, and object="),
            ("pkcs11:token=gus;object=none", publics["Gus"], 1, "has 0 private keys"),
            ("pkcs11:token=nobody;object=sign", publics["Gus"], 1, "no token fits the URI"),
            (gus, publics["Hal"], 7, "is not the private half of"))):
        _, ended, seen = begin(f"wrong-{n}", uri, public)
        check(ended == status and said in " ".join(seen.split()), f"{uri}: {ended} {seen[-300:]}")
        check("0815" not in seen, "a PIN in a URI was shown")
    with open(site(gus), encoding="utf-8") as file:
        text = file.read().replace(f", module: {mock}", "")
    with open(os.path.join(folder, "bad.yaml"), "w", encoding="utf-8") as file:
        file.write(text)
    lint = subprocess.run([ceremony, "lint", os.path.join(folder, "script.yaml"),
                           os.path.join(folder, "bad.yaml")], capture_output=True, text=True,
                          timeout=60)
    check(lint.returncode == 3 and "'module' and 'public' go with a key" in lint.stderr, "no module")

    # A slip costs one attempt, and the ceremony stops; it is resumed, with a pad.
    place, status, seen = begin("run", gus, once=[(r"PIN of token 'gus'", "not-the-pin")])
    check(status == 3 and "CKR_PIN_INCORRECT" in seen, f"a wrong PIN: {status} {seen[-300:]}")
    misbehave(f"token gus: login flags PROTECTED_AUTH\npin pad {OWN['gus']}\n")
    pad = Room(ceremony, "resume", place)
    rooms.append(pad)
    status = pad.talk([(r"PIN of token 'gus'", "a prompt, where a pad is"), *own])
    misbehave("")
    check(status == 0, f"the end: {status} {pad.seen[-400:]}")
    check("PIN of token 'gus'" not in pad.seen, "a PIN was asked for that a pad takes")

    # Whoever verifies sees no difference.
    opinion = subprocess.run([verify, "--signer", publics["Gus"], "--signer", publics["Hal"], place],
                             capture_output=True, text=True, timeout=60)
    check(opinion.returncode == 0, f"the verifier: {opinion.stdout[:600]}{opinion.stderr}")
    last = {r["by"]: r for r in records(place, "checkpoint")[-3:]}
    for name, public in publics.items():
        text = f"tbs-kms ceremony 1 {last[name]['covers']} {last[name]['head']}"
        check(verifies(public, text.encode(), base64.b64decode(last[name]["signature"]), folder),
              f"openssl refuses the checkpoint of {name}")
    registry = os.path.join(place, "registry.jsonl")

    def signed_by(n):
        with open(registry, "rb") as file:
            first, *others = file.read().splitlines()
        check(len(others) == n, f"{len(others)} signatures of the registry")
        for public in publics.values():
            check(any(verifies(public, first, base64.b64decode(json.loads(s)["signature"]), folder)
                      for s in others), f"{public} has not signed the registry")
        return json.loads(first)

    signed_by(3)

    # Both change a state, without a ceremony.
    change = Room(ceremony, "state", "--registry", registry, "--module", SOFTHSM, "--signer",
                  publics["Hal"], "--signer", publics["Gus"], "--key", gus, "--key",
                  "pkcs11:token=hal;object=sign", "audit-1", "deactivated")
    rooms.append(change)
    check(change.talk(own) == 0, f"a change of state: {change.seen[-300:]}")
    changed = signed_by(2)
    check(next(k for k in changed["keys"] if k["id"] == "audit-1")["state"] == "deactivated", "state")

    for room in rooms:
        check(not any(s in room.seen for s in ceremony_room.SECRETS), "a PIN was shown")
    for top, _, names in os.walk(place):
        for name in names:
            with open(os.path.join(top, name), "rb") as file:
                octets = file.read()
            check(not any(s.encode() in octets for s in ceremony_room.SECRETS), f"a PIN is in {name}")


def main():
    folder = tempfile.mkdtemp(prefix="tbs-test.")
    try:
        perform(*sys.argv[1:4], folder)
    finally:
        shutil.rmtree(folder)
    print("all is well")


if __name__ == "__main__":
    main()
