#!/usr/bin/env python3
"""The verifier of ceremonies: it passes good ones and names what is wrong with each tampered one.

ceremony_verify.py CEREMONY VERIFY SCRIPTS; exit status 0 or 1.

A real rehearsal is performed once. Its ceremony key, which is in a token, is then replaced
throughout by one that this program has, so that everything can be changed, chained and signed anew:
whoever tampers has all keys, and still is found out by what the record says. Some tamperers have
none; then the chain or a signature tells."""
import base64
import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CEREMONY, VERIFY, SCRIPTS = sys.argv[1:4]
failures = []


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(octets):
    return hashlib.sha256(octets).hexdigest()


def spki(key):
    return sha256(key.public_key().public_bytes(serialization.Encoding.DER,
                                                serialization.PublicFormat.SubjectPublicKeyInfo))


def pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


class Folder:
    """A ceremony in memory, with every key that signs."""

    def __init__(self, path):
        self.files = {}
        for top, _, names in os.walk(path):
            if "rehearsal" not in os.path.relpath(top, path).split("/")[0]:
                for name in names:
                    file = os.path.join(top, name)
                    with open(file, "rb") as f:
                        self.files[os.path.relpath(file, path)] = f.read()
        del self.files["journal.jsonl"]
        self.keys = {}
        for name in os.listdir(os.path.join(path, "rehearsal")):
            if name.endswith(".key.pem"):
                with open(os.path.join(path, "rehearsal", name), "rb") as f:
                    key = serialization.load_pem_private_key(f.read(), None)
                self.keys[spki(key)] = key
        self.lines = [json.loads(line) for line in self.files["transcript.jsonl"].splitlines()]

    def own_ceremony_key(self):
        key, old = new_key(), None
        for line in self.lines:
            if line["type"] == "kcv" and line["id"] == "csk-2026-01":
                old = line["value"]
        self.keys[spki(key)] = key
        self.files["keys/csk-2026-01.pem"] = pem(key)
        for name, octets in self.files.items():
            self.files[name] = octets.replace(old.encode(), spki(key).encode())
        self.lines = json.loads(json.dumps(self.lines).replace(old, spki(key)))
        self.csk = spki(key)

    def select(self, type, **fields):
        return [line for line in self.lines if line["type"] == type and
                all(line.get(name) == value for name, value in fields.items())]

    def statement(self, name):
        return json.loads(self.files[name].split(b"\n")[0])

    def put_statement(self, name, statement, signers=None):
        first = canonical(statement)
        if signers is None:
            signers = [json.loads(line)["key"] for line in self.files[name].splitlines()[1:]]
        lines = [first]
        for signer in signers:
            signature = self.keys[signer].sign(first, ec.ECDSA(hashes.SHA256()))
            lines.append(canonical({"type": "signature", "key": signer, "algorithm": "ECDSA-SHA256",
                                    "signature": base64.b64encode(signature).decode()}))
        self.files[name] = b"\n".join(lines) + b"\n"

    def sign_files(self):
        for name in list(self.files):
            if name.startswith(("blobs/", "registry")):
                self.put_statement(name, self.statement(name))

    def seal(self):
        """Hashes, the chain and all signatures anew."""
        for line in self.select("wrap"):
            line["blob_sha256"] = sha256(self.files[f"blobs/{line['id']}.{line['to']}.blob"])
        for line in self.select("escrow"):
            line["file_sha256"] = sha256(self.files[f"blobs/{line['id']}.escrow"])
        for line in self.select("registry"):
            name = f"registry-{line['sequence']}.jsonl"
            line["sha256"] = sha256(self.files[name].split(b"\n")[0])
        self.chain(sign=True)

    def chain(self, sign):
        head, hashes_of = "0" * 64, []
        for n, line in enumerate(self.lines, 1):
            line["seq"], line["prev"] = n, head
            if line["type"] == "close":
                line["head"] = head
            if line["type"] == "checkpoint" and sign:
                line["covers"], line["head"] = n - 1, head
                text = f"tbs-kms ceremony 1 {n - 1} {head}".encode()
                signature = self.keys[line["key"]].sign(text, ec.ECDSA(hashes.SHA256()))
                line["signature"] = base64.b64encode(signature).decode()
            head = sha256(canonical(line))
            hashes_of.append(head)
        self.write_lines()
        return head

    def write_lines(self):
        self.files["transcript.jsonl"] = b"".join(canonical(line) + b"\n" for line in self.lines)

    def write(self, path):
        shutil.rmtree(path, ignore_errors=True)
        for name, octets in self.files.items():
            file = os.path.join(path, name)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "wb") as f:
                f.write(octets)
        os.makedirs(os.path.join(path, "blobs"), exist_ok=True)
        return path


def verify(*arguments):
    done = subprocess.run([VERIFY, "--json", *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode not in (0, 1):
        return done.returncode, done.stderr, None
    opinion = json.loads(done.stdout)
    if (done.returncode == 0) != (opinion["verdict"] == "verified") or \
            (done.returncode == 0) != (not opinion["findings"]):
        sys.exit(f"status {done.returncode} and verdict {opinion['verdict']} do not agree")
    return done.returncode, None, opinion


def wrong(what):
    print("WRONG:", what)
    failures.append(what)


def passes(what, *arguments):
    status, error, opinion = verify(*arguments)
    if status != 0:
        wrong(f"{what}: {error or opinion['findings'][:4]}")
    else:
        print(f"passes: {what}")
    return opinion


def refused(what, rule, words, *arguments, others=()):
    """Refused with a sentence that names it, and for nothing else but what `others` may say."""
    status, error, opinion = verify(*arguments)
    if status != 1:
        wrong(f"{what}: status {status} {error or ''}")
        return
    said = [f["text"] for f in opinion["findings"] if f["rule"] == rule and words in f["text"]]
    besides = [f for f in opinion["findings"] if f["rule"] != rule and f["rule"] not in others]
    if not said or besides:
        wrong(f"{what}: {opinion['findings'][:4]}")
    else:
        print(f"refused: {what}: {said[0]}")


def rehearse(path, script, after=None):
    command = [CEREMONY, "run", "--rehearse", "--answers", "auto", "--script",
               os.path.join(SCRIPTS, script)]
    done = subprocess.run(command + (["--after", after] if after else []) + [path],
                          capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"{script}: {done.stderr}")
    return path


# --- Tampering; each gets a good production ceremony, and makes it bad ---

def change(good, tamper, signed=True):
    bad = copy.deepcopy(good)
    tamper(bad)
    if signed:
        bad.seal()
    return bad


def drop(folder, line):
    folder.lines.remove(line)


def inventory(folder, token="A"):
    return folder.select("inventory", token=token)[-1]["objects"]


def secret_key(folder, token, id):
    return next(o for o in inventory(folder, token) if o["id"] == id and o["class"] == "CKO_SECRET_KEY")


def another(object, **fields):
    return {**copy.deepcopy(object), **fields}


def one_byte(f):
    text = f.files["transcript.jsonl"]
    at = text.index(b'"what":"bag of token B"') + 21
    f.files["transcript.jsonl"] = text[:at] + b"C" + text[at + 1:]


def cut_out(f):
    lines = f.files["transcript.jsonl"].splitlines(True)
    f.files["transcript.jsonl"] = b"".join(lines[:40] + lines[41:])


def swap(f):
    lines = f.files["transcript.jsonl"].splitlines(True)
    lines[40], lines[41] = lines[41], lines[40]
    f.files["transcript.jsonl"] = b"".join(lines)


def rechain_without_keys(f):
    f.select("bag")[0]["value"] = "another"
    f.chain(sign=False)


def blob(f, **fields):
    name = "blobs/kek-2026-01.B.blob"
    f.put_statement(name, {**f.statement(name), **fields})


def blob_signed_by(f, signers):
    name = "blobs/kek-2026-01.B.blob"
    f.put_statement(name, f.statement(name), signers)


def wrong_recipient(f):
    other = f.statement("blobs/kek-2026-01.V.blob")["recipient"]
    blob(f, recipient=other)
    f.select("wrap", id="kek-2026-01", to="B")[0]["recipient_spki"] = other


def script(f):
    f.files["ceremony.yaml"] = f.files["ceremony.yaml"].replace(b"SO>=2", b"SO>=1", 1)


def skip_step(f):
    for line in f.select("step", id="5.4") + f.select("attack", id="kek-2026-01"):
        drop(f, line)


def swap_steps(f):
    a = f.lines.index(f.select("step", id="7.2", phase="begin")[0])
    b = f.lines.index(f.select("step", id="7.3", phase="begin")[0])
    f.lines[a:a + 2], f.lines[b:b + 2] = f.lines[b:b + 2], f.lines[a:a + 2]


def absent(f):
    for line in f.select("step", id="2.2"):
        line["present"].remove("SO")


def never_came(f):
    drop(f, f.select("role-signin", name="SO-2")[0])


def two_hats(f):
    f.select("role-signin", role="EW")[0]["name"] = "IW-1"


def unsigned_witness(f):
    last = [line for line in f.select("checkpoint") if line["by"] == "EW-1"][-1]
    drop(f, last)


def stranger_signs(f):
    key = new_key()
    f.keys[spki(key)] = key
    f.files["keys/stranger.pem"] = pem(key)
    f.select("checkpoint")[0]["key"] = spki(key)


def after_the_last_signature(f):
    ends = [i for i, line in enumerate(f.lines) if line["type"] == "checkpoint"]
    f.lines.insert(ends[-1] + 1, {"type": "bag", "step": "7.9", "what": "bag", "value": "x",
                                  "time": f.lines[-1]["time"], "mono_ms": f.lines[-1]["mono_ms"]})


def attributes(f, event, **fields):
    f.select(event, id="tpk-2026-01", token="A")[0]["attributes"].update(fields)


def by_template(f):
    f.select("attr", id="csk-2026-01")[0]["attributes"]["CKA_ALWAYS_AUTHENTICATE"] = False


def check_elsewhere(f):
    f.select("kcv", id="kek-2026-01", token="V")[0]["value"] = "0000000000"


def registry(f, tamper):
    name = "registry-1.jsonl"
    statement = f.statement(name)
    tamper(statement)
    f.put_statement(name, statement)


def registry_check(statement):
    next(k for k in statement["keys"] if k["id"] == "tpk-2026-01")["check"]["value"] = "00" * 16


def waive(f):
    f.lines.insert(1, {"type": "waiver", "rule": "R3", "of": "tpk-2026-01", "reason": "x", "by": "x",
                       "time": f.lines[0]["time"], "mono_ms": f.lines[0]["mono_ms"]})
    attributes(f, "attr", CKA_MODIFIABLE=True)


TAMPERINGS = [
    # With no key at all.
    ("one byte changed", "chain", "was changed", one_byte, False),
    ("a record removed", "chain", "line 41 is missing", cut_out, False),
    ("two records swapped", "chain", "lines were swapped: line 42 stands before line 41", swap, False),
    ("cut off", "chain", "breaks off", lambda f: f.files.update(
        {"transcript.jsonl": f.files["transcript.jsonl"][:-40]}), False),
    ("chained anew without keys", "checkpoint", "was changed after csk-2026-01 had signed it",
     rechain_without_keys, False, ["signature"]),
    # With all keys.
    ("a role is missing", "role", "role SO is missing in step 2.2", absent),
    ("a role never signed in", "role", "1 had signed in", never_came),
    ("one person with two roles", "role", "holds the roles IW and EW", two_hats),
    ("a witness did not sign", "signature", "role EW did not sign", unsigned_witness),
    ("a stranger signed", "checkpoint", "a key of nobody who takes part", stranger_signs,
     True, ["signature"]),
    ("something after the last signature", "signature", "nobody signed the end",
     after_the_last_signature),
    ("a step is missing", "order", "step 5.5 was performed where the script has 5.4", skip_step),
    ("steps swapped", "order", "step 7.3 was performed where the script has 7.2", swap_steps),
    ("not closed", "close", "not over", lambda f: drop(f, f.lines[-1])),
    ("check values differ between sites", "check", "key kek-2026-01 on token V is 0000000000",
     check_elsewhere),
    ("check value in the registry", "check", "in the registry is 0000000000",
     lambda f: registry(f, registry_check)),
    ("a blob unsigned", "signature", "blobs/kek-2026-01.B.blob is unsigned",
     lambda f: blob_signed_by(f, [])),
    ("a blob signed by a person only", "signature", "no ceremony key has signed",
     lambda f: blob_signed_by(f, [f.select("role-signin", role="CA")[0]["key"]])),
    ("a blob changed later", "blob", "is not what was written in the ceremony",
     lambda f: f.files.update({"blobs/kek-2026-01.B.blob": f.files["blobs/kek-2026-01.V.blob"]}),
     False, ["recipient"]),
    ("a blob for the wrong recipient", "recipient", "is wrapped for the wrong recipient",
     wrong_recipient),
    ("a blob of another template", "blob", "another key, template", lambda f: blob(f, template="x")),
    ("a blob that nobody recorded", "blob", "of which the record does not speak",
     lambda f: f.files.update({"blobs/extra.B.blob": b"x"})),
    ("an unknown object", "unknown-object", "holds an object that nobody knows",
     lambda f: inventory(f).append({"class": "CKO_DATA", "id": "x", "label": "x", "attributes": {}})),
    ("a clone under another name", "clone", "is a clone of key tpk-2026-01",
     lambda f: inventory(f).append(another(secret_key(f, "A", "tpk-2026-01"), id="copy")),
     True, ["unknown-object"]),
    ("a clone under the same name", "clone", "is twice on token A",
     lambda f: inventory(f).append(another(secret_key(f, "A", "tpk-2026-01")))),
    ("a key is gone", "missing-object", "does not hold CKO_SECRET_KEY tpk-2026-01",
     lambda f: inventory(f).remove(secret_key(f, "A", "tpk-2026-01"))),
    ("a modifiable key", "R3", "key tpk-2026-01 on token A can be modified",
     lambda f: secret_key(f, "A", "tpk-2026-01")["attributes"].update(CKA_MODIFIABLE=True)),
    ("a key modifiable when it was made", "R3", "can be modified",
     lambda f: attributes(f, "keygen", CKA_MODIFIABLE=True)),
    ("an attribute that the token does not tell", "R3", "can be modified",
     lambda f: attributes(f, "attr", CKA_MODIFIABLE=None), True, ["R19"]),
    ("an extractable key", "R5", "can be extracted",
     lambda f: attributes(f, "attr", CKA_EXTRACTABLE=True)),
    ("read back by the process that made it", "R17", "was not read back by a new process",
     lambda f: f.select("attr", id="tpk-2026-01", token="A")[0].update(reopened=False)),
    ("a second role", "R1", "has not exactly one role", lambda f: attributes(f, "attr", CKA_WRAP=True),
     True, ["R9"]),
    ("not as its template says", "R15", "csk-2026-01", by_template),
    ("another template", "template", "and the script says kek-hmac-sha256-replicated-v1",
     lambda f: f.select("keygen", id="kek-2026-01")[0].update(template="canary-v1"), True, ["blob"]),
    ("an attack that worked", "attack", "let somebody read CKA_VALUE",
     lambda f: f.select("attack")[0]["attempts"][0].update(refused=False)),
    ("a key that was not destroyed", "destroy", "is still there",
     lambda f: f.select("destroy")[0]["absence"].update(left=1)),
    ("a PIN in the record", "secret", "a field called so_pin",
     lambda f: f.select("api")[0].update(so_pin="1234")),
    ("another script in the folder", "script", "is not the script that the record names", script),
    ("a rehearsal's registry", "rehearsal", "registry-1.jsonl is of a rehearsal",
     lambda f: registry(f, lambda statement: statement.update(rehearsal=True))),
    ("an inventory left out", "order", "step 7.1 has left no inventory of token V",
     lambda f: drop(f, f.select("inventory", token="V")[0])),
    ("a waiver that the script does not have", "waiver", "the script does not waive R3", waive),
    ("another commitment", "shares", "share 2 of A is not the one that was committed to",
     lambda f: f.select("share-commit")[0]["commitments"].__setitem__(1, "0" * 64)),
    ("another share typed back", "shares", "share 4 of A is not the one",
     lambda f: f.select("share-verify", number=4)[0].update(commitment="0" * 64)),
    ("a share nobody typed back", "shares", "were not typed",
     lambda f: drop(f, f.select("share-verify", number=5)[0])),
    ("two shares of one person", "shares", "share 2 was typed by CO-1, and share 1 by CO-1",
     lambda f: f.select("share-verify", number=2)[0].update(by="CO-1")),
    ("a share of a stranger", "shares", "CO-9, who did not sign in",
     lambda f: f.select("share-verify", number=2)[0].update(by="CO-9")),
    ("too few shares", "shares", "too few", lambda f: f.select("share-rebuild")[0].update(
        groups=[[1, 2], [3, 4, 5]])),
    ("a share that was never proven", "shares", "before every share", lambda f: f.select(
        "share-rebuild")[0].update(groups=[[1, 2, 3]])),
    ("no set of shares", "shares", "not every share of the PINs of token A",
     lambda f: [drop(f, line) for line in f.lines[:] if line["type"].startswith("share-")], True,
     ["escrow"]),
    ("a PIN that nobody set", "shares", "did not get both PINs",
     lambda f: drop(f, f.select("api", call="C_SetPIN")[0])),
    ("shares that are gone", "shares", "of a set that A does not have",
     lambda f: f.select("share-rebuild", token="B")[0].update(
         token="A", set=f.select("share-commit", token="B")[0]["set"])),
    ("another escrow key", "escrow", "not the private half of the key",
     lambda f: f.put_statement("blobs/escrow-2026-01.escrow", {
         **f.statement("blobs/escrow-2026-01.escrow"), "spki": "AAAA"})),
    ("an escrow key under other shares", "escrow", "not sealed under the shares",
     lambda f: f.put_statement("blobs/escrow-2026-01.escrow", {
         **f.statement("blobs/escrow-2026-01.escrow"), "set": 40000})),
    ("an escrow key of another day", "escrow", "of another key or ceremony",
     lambda f: f.put_statement("blobs/escrow-2026-01.escrow", {
         **f.statement("blobs/escrow-2026-01.escrow"), "ceremony": "another"})),
    ("an escrow key that can decrypt", "R1", "CKA_DECRYPT",
     lambda f: f.select("visit")[0]["attributes"].update(CKA_DECRYPT=True), True, ["pair"]),
    ("an escrow key that nobody waived", "R8", "nobody has waived that",
     lambda f: drop(f, f.select("waiver", rule="R8")[0])),
    ("a key from nowhere", "blob", "nothing was wrapped to elsewhere",
     lambda f: f.select("unwrap", id="canary-2026-01")[-1].update({"from": "elsewhere"}), True,
     ["escrow"]),
    ("nothing comes from escrow", "order", "has left no unwrap of token V",
     lambda f: drop(f, f.select("unwrap", id="canary-2026-01")[-1])),
    ("another quorum", "shares", "the shares of A are 2 of 5, and the script's quorum is 3 of 5",
     lambda f: f.select("share-commit")[0].update(need=2)),
    ("shares of another set", "shares", "of a set that A does not have",
     lambda f: f.select("share-verify", number=3)[0].update(set=40000)),
    ("no word on random numbers", "entropy", "what the random numbers of token A come from",
     lambda f: f.select("token-info", token="A")[0].pop("entropy")),
    ("a wrapped key of another hash", "blob", "names the hash 'SHA-256', and the record 'SHA-1'",
     lambda f: f.select("wrap")[0].update(hash="SHA-1")),
    ("a type that nobody knows", "type", "what a line of type magic is",
     lambda f: f.select("bag")[0].update(type="magic")),
]


def odd_values(good, dir):
    """Whatever stands in a field, there is a verdict; the sanitizers see the rest."""
    fields = {}
    for n, line in enumerate(good.lines):
        for name in line:
            if name not in ("seq", "prev"):
                fields.setdefault((line["type"], name), n)
    refusals = 0
    for count, ((_, name), n) in enumerate(fields.items()):
        bad = copy.deepcopy(good)
        bad.lines[n][name] = (None, [{}], -1, {"id": [None]}, "x" * 3000)[count % 5]
        bad.chain(sign=False)
        status, error, _ = verify(bad.write(f"{dir}/odd"))
        refusals += status == 1
        if status not in (0, 1):
            wrong(f"line {n + 1}, {name}: status {status}: {error[-400:]}")
    if refusals < len(fields) * 0.9:
        wrong(f"of {len(fields)} odd values only {refusals} were refused")


def main(dir):
    first = rehearse(f"{dir}/first", "initialise-and-generate.yaml")
    drill = rehearse(f"{dir}/drill", "disaster-recovery-drill.yaml",
                     rehearse(f"{dir}/rotate", "rotate-tpk.yaml", first))
    passes("a rehearsal", "--rehearsal", first)
    passes("three rehearsals", "--rehearsal", "--drill-days", "1", first, f"{dir}/rotate", drill)
    refused("a rehearsal shown as production", "rehearsal", "this is a rehearsal", first)
    refused("no drill", "drill", "no drill", "--rehearsal", "--drill-days", "1", first)
    refused("a ceremony without the one before", "parent", "follows another", "--rehearsal",
            f"{dir}/rotate", others=["checkpoint", "signature", "recipient", "check", "registry",
                                     "unknown-object", "blob", "key", "shares"])

    folder = Folder(first)
    folder.own_ceremony_key()
    folder.sign_files()
    folder.seal()
    passes("the rehearsal with another ceremony key", "--rehearsal", folder.write(f"{dir}/own"))
    disguised = copy.deepcopy(folder)
    disguised.lines[0]["rehearsal"] = False
    disguised.seal()
    refused("a rehearsal that says it was production", "rehearsal", "is of a rehearsal",
            disguised.write(f"{dir}/disguised"), others=["softhsm", "oaep-sha1"])

    good = disguised
    for name in list(good.files):
        if name.startswith(("blobs/", "registry")):
            good.put_statement(name, {**good.statement(name), "rehearsal": False})
    good.seal()
    refused("a SoftHSM in production", "softhsm",
            "token A is a SoftHSM v2, which protects nothing, and this is no rehearsal",
            good.write(f"{dir}/softhsm"), others=["oaep-sha1"])
    for line in good.select("token-info"):
        line["model"] = "Vault 3"
    good.seal()
    refused("SHA-1 in OAEP in production", "oaep-sha1", "wrapped with SHA-1 in OAEP",
            good.write(f"{dir}/sha1"))
    for name in list(good.files):
        if name.startswith("blobs/"):
            good.put_statement(name, {**good.statement(name), "hash": "SHA-256"})
    for line in good.select("wrap"):
        line["hash"] = "SHA-256"
    good.seal()
    production = good.write(f"{dir}/production")
    passes("a production ceremony", production)
    refused("production where a rehearsal is wanted", "rehearsal", "no rehearsal", "--rehearsal",
            production)
    for what, rule, words, tamper, *more in TAMPERINGS:
        bad = change(good, tamper, more[0] if more else True)
        refused(what, rule, words, bad.write(f"{dir}/bad"), others=more[1] if len(more) > 1 else ())

    odd_values(good, dir)

    # What the outsider brings.
    script_hash = sha256(good.files["ceremony.yaml"])
    head = sha256(good.files["transcript.jsonl"].splitlines()[-1])
    words = subprocess.run([VERIFY, production], capture_output=True, text=True, timeout=60).stdout
    said = words.split(f"  head    {head}\n")[1].split("\n")[:4]
    signer = f"{dir}/production/keys/EW-1.pem"
    passes("hashes in hex, words and a signer", "--script-sha256", script_hash, "--head",
           " ".join(said), "--signer", signer, production)
    refused("the wrong script", "script", "another script was performed", "--script-sha256",
            "0" * 64, production)
    refused("another head", "head", "written down", "--head", script_hash, production)
    refused("a signer who did not", "signer", "has not signed the whole record", "--signer",
            f"{dir}/production/keys/CA-1.pem", production)

    old = Folder(drill)
    old.keys.update(folder.keys)
    for line in old.lines:
        line["time"] = (datetime.now(timezone.utc) - timedelta(days=400)).strftime("%Y-%m-%dT%H:%M:%SZ")
    old.chain(sign=False)
    refused("a stale drill", "drill", "is stale", "--rehearsal", "--drill-days", "365", first,
            f"{dir}/rotate", old.write(f"{dir}/old"), others=["checkpoint", "signature"])

    other = Folder(drill)
    other.select("share-verify")[-1]["commitment"] = "0" * 64
    other.chain(sign=False)
    refused("another share at the yearly check", "shares", "is not the one", "--rehearsal", first,
            f"{dir}/rotate", other.write(f"{dir}/other"), others=["checkpoint", "signature"])

    for status, arguments in ((2, []), (2, ["--head", "x", first]), (3, [f"{dir}/none"])):
        if verify(*arguments)[0] != status:
            wrong(f"{arguments} does not end with status {status}")
    linked = subprocess.run(["ldd", VERIFY], capture_output=True, text=True, check=True).stdout
    with open(VERIFY, "rb") as f:
        if "p11-kit" in linked or b"C_GetFunctionList" in f.read():
            wrong("the verifier has code of tokens")


with tempfile.TemporaryDirectory(prefix="tbs-test.") as place:
    main(place)
print(f"{len(failures)} wrong")
sys.exit(1 if failures else 0)
