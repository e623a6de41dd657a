#!/usr/bin/env python3
"""What TPMs attest does not verify when it is tampered with, though every line is chained anew.
ceremony_tpm_verify.py TBS-CEREMONY-VERIFY FOLDER SCRATCH; exit status: 0 all is found, 1 not."""
import base64
import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys

verify, folder, scratch = sys.argv[1:4]
ca = os.path.join(folder, "rehearsal/tokens/tpm-ca/")
CAS = [f"--tpm-ca={ca}issuercert.pem", f"--tpm-ca={ca}swtpm-localca-rootca-cert.pem"]
failures = []
with open(os.path.join(folder, "transcript.jsonl"), encoding="utf-8") as file:
    good = [json.loads(line) for line in file]


def opinion(lines, *options):
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(folder, scratch, ignore=shutil.ignore_patterns("rehearsal", "journal.jsonl"))
    prev = "0" * 64
    with open(os.path.join(scratch, "transcript.jsonl"), "wb") as out:
        for n, line in enumerate(lines, 1):
            line.update(seq=n, prev=prev)
            octets = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            prev = hashlib.sha256(octets).hexdigest()
            out.write(octets + b"\n")
    return subprocess.run([verify, "--rehearsal", *options, scratch], capture_output=True, text=True,
                          check=False)


def found(what, words, tamper, *options):
    lines = copy.deepcopy(good)
    lines = tamper(lines) or lines
    said = opinion(lines, *options)
    if said.returncode != 1 or words not in " ".join(said.stdout.split()):
        failures.append(f"{what}: no '{words}' in: {said.stdout[:1200]}{said.stderr}")


def line(lines, kind, **fields):
    return next(each for each in lines if each["type"] == kind and
                all(each.get(name) == value for name, value in fields.items()))


def flip(owner, name, at=-1):
    octets = bytearray(base64.b64decode(owner[name]))
    octets[at] ^= 1
    owner[name] = base64.b64encode(octets).decode()


def swap(lines):
    one, two = (line(lines, "certify", id=id) for id in ("kek-2026-01", "tpk-2026-01"))
    for name in ("attested", "signature"):
        one[name], two[name] = two[name], one[name]


def movable(lines):
    """The attribute as it would be told, and the area as it was."""
    line(lines, "attr", id="tpk-2026-01")["attributes"]["fixedTPM"] = False


def movable_area(lines):
    """Both: then its Name is another one."""
    attributes = line(lines, "attr", id="tpk-2026-01")["attributes"]
    octets = bytearray(base64.b64decode(attributes["public"]))
    octets[7] &= ~2
    attributes.update(fixedTPM=False, public=base64.b64encode(octets).decode(),
                      name="000b" + hashlib.sha256(octets).hexdigest())


def readable_name(lines):
    """Another key of the right kind: only the TPM's word tells."""
    attributes = line(lines, "attr", id="tpk-2026-01")["attributes"]
    octets = bytearray(base64.b64decode(attributes["public"]))
    octets[-1] ^= 1
    attributes.update(public=base64.b64encode(octets).decode(),
                      name="000b" + hashlib.sha256(octets).hexdigest())


same = opinion(copy.deepcopy(good), *CAS)
if same.returncode != 0 or "in a TPM whose certificate is good" not in same.stdout:
    failures.append(f"the good one: {same.stdout[:800]}{same.stderr}")

found("another time in line 1", "attested over another head",
      lambda lines: lines[0].update(time="2026-01-01T00:00:00Z"))
found("swapped", "certifies another key, by its Name", swap)
found("a signature", "the TPM's signature does not verify",
      lambda lines: flip(line(lines, "certify", id="kek-2026-01"), "signature"))
found("what was attested", "the TPM's signature does not verify",
      lambda lines: flip(line(lines, "certify", id="kek-2026-01"), "attested"))
found("no attestation", "holds nothing that a TPM attests",
      lambda lines: flip(line(lines, "certify", id="kek-2026-01"), "attested", 0))
found("a quote for a certificate", "holds nothing that a TPM attests",
      lambda lines: line(lines, "certify", id="kek-2026-01").update(
          attested=line(lines, "quote")["attested"]))
found("a PCR", "the values of the PCRs are not those that it quotes",
      lambda lines: line(lines, "quote")["pcrs"].update({"7": "11" * 32}))
found("one PCR more", "the values of the PCRs are not those that it quotes",
      lambda lines: line(lines, "quote")["pcrs"].update({"8": "00" * 32}))
found("no answer", "the endorsement key did not answer for it",
      lambda lines: line(lines, "identity").update(answer_sha256="11" * 32))
found("another endorsement key", "the certificate is not of its endorsement key",
      lambda lines: flip(line(lines, "identity"), "ek"))
found("another attesting key", "does not verify",
      lambda lines: line(lines, "identity").update(
          ak=line(lines, "attr", id="audit-2026-01")["attributes"]["public"]))
found("an attesting key that signs all", "it could attest of what is not in the TPM",
      lambda lines: line(lines, "identity").update(
          ak=line(lines, "attr", id="audit-2026-01")["attributes"]["public"]))
found("another storage key", "its storage key is not as it must be",
      lambda lines: line(lines, "identity").update(storage=line(lines, "identity")["primary"]))
found("no areas", "holds no public areas", lambda lines: line(lines, "identity").update(ek="AAAA"))
found("no certify", "key tpk-2026-01: no TPM has certified it",
      lambda lines: [x for x in lines if (x["type"], x.get("id")) != ("certify", "tpk-2026-01")])
found("no identity", "nothing says before in which TPM it is",
      lambda lines: [x for x in lines if x["type"] != "identity"])
found("fixedTPM told", "fixedTPM is false and must be true", movable)
found("fixedTPM told", "the Name or an attribute is not that of the public area", movable)
found("fixedTPM in the area", "fixedTPM is false and must be true", movable_area)
found("fixedTPM in the area", "certifies another key, by its Name", movable_area)
found("another key", "certifies another key, by its Name", readable_name)
found("another CA", "is of no CA that --tpm-ca names", lambda lines: lines, CAS[1])

for failure in failures:
    print(f"wrong: {failure}")
sys.exit(bool(failures))
