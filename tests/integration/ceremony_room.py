#!/usr/bin/env python3
"""A ceremony that is no rehearsal, at a terminal: people who are absent, slips that are put right,
an exception, a stop, and PINs that nobody sees. ceremony_room.py TBS-CEREMONY TBS-CEREMONY-VERIFY
MOCK-PKCS11; exit status 0: all is well."""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import termios
import time

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PINS = {"so": "so-pin-8675309", "user": "user-pin-3141592", "new": "user-pin-2718281"}
PASSPHRASE = "gus-passphrase-1618"
SECRETS = [*PINS.values(), PASSPHRASE]


class Room:
    """A program at a terminal of its own. `answers` are tried in order at each prompt."""

    def __init__(self, *argv):
        self.seen = ""
        self.pending = ""
        self.pid, self.tty = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], argv)

    def read(self, seconds):
        if not select.select([self.tty], [], [], seconds)[0]:
            return None
        try:
            text = os.read(self.tty, 65536).decode()
        except OSError:  # the program has ended
            return ""
        self.seen += text
        self.pending += text
        return text

    def await_no_echo(self):
        """OpenSSL turns the echo off after it has asked."""
        for _ in range(100):
            if not termios.tcgetattr(self.tty)[3] & termios.ECHO:
                return
            time.sleep(0.05)
        sys.exit(f"a secret would be shown: {self.seen[-100:]}")

    def talk(self, answers, once=()):
        """Answers until the program ends: gives its status. Each of `once` counts once, and before
        `answers`."""
        once = list(once)
        end = time.monotonic() + 100
        while time.monotonic() < end:
            text = self.read(0.5)
            if text == "":
                return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            if not re.search(r": ?$", self.pending):
                continue
            for entry in once + answers:
                found = re.search(entry[0], self.pending)
                if found:
                    if entry in once:
                        once.remove(entry)
                    reply = entry[1](found) if callable(entry[1]) else entry[1]
                    self.pending = ""
                    if reply in SECRETS:
                        self.await_no_echo()
                    os.write(self.tty, reply.encode() + b"\n")
                    break
        sys.exit(f"the program did not end: {self.seen[-500:]}")


USUAL = [
    (r"Enter if it is right, or type it anew: $", ""),
    (r"\((\w+)\): your name, or 'absent': $", lambda m: m[1]),
    (r"new PIN of the security officers of token \w[^\n]*: $", PINS["so"]),
    (r"PIN of the security officers of token \w[^\n]*: $", PINS["so"]),
    (r"PIN of the user of token \w[^\n]*: $", PINS["user"]),
    (r"Enter PEM pass phrase:$", PASSPHRASE),
    (r"What is not as it should be: $", "the seal of bag 4 is torn"),
    (r"Who decides how to go on: $", "Gus"),
    (r"Decision: continue or stop: $", "continue"),
    (r"confirms: yes, exception or stop: $", "yes"),
]


def check(true, what):
    if not true:
        sys.exit(f"wrong: {what}")


def site(folder, module=SOFTHSM):
    key = os.path.join(folder, "gus.key.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-aes-256-cbc", "-pass", f"pass:{PASSPHRASE}", "-out", key],
                   check=True, capture_output=True)
    name = os.path.join(folder, "site.yaml")
    with open(name, "w", encoding="utf-8") as file:
        file.write(f"tokens:\n  - {{name: A, module: {module}, fresh: true, entropy: a test, oaep: sha-1}}\n"
                   f"  - {{name: B, module: {module}, fresh: true, entropy: a test, oaep: sha-1}}\n"
                   f"people:\n  - {{role: CA, name: Ann}}\n"
                   f"  - {{role: IW, name: Gus, key: \"{key}\"}}\n")
    return name


def script(folder, waived, sha1="AB"):
    """Without a waiver for both tokens, SoftHSM is for rehearsals only, and so is SHA-1."""
    short = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ceremony-short.yaml")
    name = os.path.join(folder, f"waived-{waived}-{sha1}.yaml")
    with open(short, encoding="utf-8") as file, open(name, "w", encoding="utf-8") as copy:
        copy.write(file.read() + "waivers:\n" * (waived + sha1 != ""))
        for token in sha1:
            copy.write(f"  - {{rule: oaep-sha1, of: {token}, reason: a test, by: Gus}}\n")
        for token in waived:
            copy.write(f"  - {{rule: softhsm, of: {token}, reason: a test, by: Gus}}\n")
    return name


def softhsm(folder):
    tokens = os.path.join(folder, "tokens")
    os.mkdir(tokens)
    conf = os.path.join(folder, "softhsm2.conf")
    with open(conf, "w", encoding="utf-8") as file:
        file.write(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = conf


def records(folder, kind):
    with open(os.path.join(folder, "transcript.jsonl"), encoding="utf-8") as file:
        return [r for r in map(json.loads, file) if r["type"] == kind]


def perform(ceremony, verify, mock, folder):
    run = os.path.join(folder, "run")
    rules = os.environ["MOCK_PKCS11_SCRIPT"] = os.path.join(folder, "mock.script")

    def misbehave(text):
        with open(rules + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(rules + ".new", rules)

    misbehave("")
    rooms = []

    def room(*argv):
        rooms.append(Room(ceremony, *argv))
        return rooms[-1]

    # A SoftHSM protects nothing: a real ceremony takes none, unless the script says so.
    for waived, token in (("", "A"), ("A", "B")):
        place = os.path.join(folder, f"refused-{token}")
        os.mkdir(place)
        softhsm(place)
        real = os.path.join(place, "run")
        status = room("run", "--script", script(folder, waived), "--site", site(folder),
                      real).talk(USUAL)
        check(status == 7 and f"token {token} is a 'SoftHSM v2', which protects nothing" in
              rooms[-1].seen, f"a SoftHSM in a real ceremony: {rooms[-1].seen[-300:]}")
        check(not any(r["token"] == token for r in records(real, "api")), "it was touched")

    # A token that tells the one process what it tells no other: either way the key does not count.
    for n, (lie, said, verdict) in enumerate((
            ("later process: attribute flip CKA_SENSITIVE",
             "key csk-1 on token A: CKA_SENSITIVE is false and must be true", "fail"),
            ("first process: attribute flip CKA_SENSITIVE",
             "tells a new process other attributes of key csk-1 than the one that made it", "pass"))):
        place = os.path.join(folder, f"liar-{n}")
        os.mkdir(place)
        softhsm(place)
        misbehave(lie + "\n")
        status = room("run", "--script", script(folder, "AB"), "--site", site(folder, mock),
                      os.path.join(place, "run")).talk([
                          (r"new PIN of the user of token \w[^\n]*: $", PINS["user"]), *USUAL])
        misbehave("")
        seen = re.sub(r"\s+", " ", rooms[-1].seen)
        check(status == 7 and said in seen, f"{lie}: {status} {seen[-400:]}")
        judged = records(os.path.join(place, "run"), "attr")
        check([r["verdict"] for r in judged] == [verdict], f"{lie}: judged {judged}")

    # Nor does it take one that knows no better hash than SHA-1.
    softhsm(folder)
    real = os.path.join(folder, "refused-sha1")
    status = room("run", "--script", script(folder, "AB", ""), "--site", site(folder), real).talk(USUAL)
    check(status == 7 and "token A knows OAEP with SHA-1 only" in rooms[-1].seen,
          f"SHA-1 in a real ceremony: {rooms[-1].seen[-300:]}")
    check(not records(real, "api"), "it was touched")

    # The witness is absent: nothing is done.
    first = room("run", "--script", script(folder, "AB"), "--site", site(folder, mock), run)
    status = first.talk(USUAL, [(r"\(Gus\): your name", "absent"), (r"type it anew: $", ""),
                                (r"type it anew: $", "")])
    check(status == 7 and "needs 1 of role IW, and 0 signed in" in first.seen, "a missing role")
    check(not records(run, "step"), "a step began without its people")

    # Slips: a wrong name, a name typed anew, two PINs that differ. Then somebody says stop.
    second = room("resume", run)
    status = second.talk(USUAL, [
        (r"\(Ann\): your name", "Bob"), (r"You typed 'Bob'", ""),
        (r"\(Ann\): your name", "Anm"), (r"You typed 'Anm'", "Ann"),
        (r"new PIN of the user of token A once more: $", "something else"),
        (r"IW \(Gus\) confirms", "maybe"),
        (r"(?s)Step 3 .*CA \(Ann\) confirms: yes, exception or stop: $", "stop")])
    check(status == 5, f"stop gives status {status}: {second.seen[-300:]}")
    for said in ("The site names Ann", "You typed 'Anm'", "You typed 'Ann'",
                 "The two were not the same", "Type one of the three words"):
        check(said in second.seen, f"'{said}' was not said")

    # A PIN that the token refuses ends the program, and is typed anew.
    third = room("resume", run)
    status = third.talk(USUAL, [(r"PIN of the user of token A: $", "not-the-pin")])
    check(status == 3 and "CKR_PIN_INCORRECT" in third.seen, f"a wrong PIN: {third.seen[-300:]}")

    # Whoever makes a key is logged in. If only the new process that reads it back cannot log in, the
    # key does not count.
    def break_logins(_):
        misbehave("fail C_Login CKR_DEVICE_ERROR\n")
        return "yes"

    status = room("resume", run).talk(USUAL, [
        (r"(?s)Step 3 .*CA \(Ann\) confirms: yes, exception or stop: $", break_logins)])
    misbehave("")
    check(status == 1 and "logging in to token 'tbs-A' as user" in rooms[-1].seen and
          "could not be read back in a new process, which ended by status 1" in rooms[-1].seen,
          f"a key that is not read back: {status} {rooms[-1].seen[-400:]}")
    check(not records(run, "attr"), "a key was judged that was not read back")

    # An exception is signed, and the ceremony goes on to its end.
    fourth = room("resume", run)
    new = (r"new PIN of the user of token B[^\n]*: $", PINS["new"])
    status = fourth.talk([new, *USUAL],
                         [(r"(?s)Key tpk-1 on token B.*IW \(Gus\) confirms: yes, exception or stop: $", "exception")])
    check(status == 0, f"the end gives status {status}: {fourth.seen[-300:]}")
    exceptions = records(run, "exception")
    check(len(exceptions) == 1 and exceptions[0]["text"] == "the seal of bag 4 is torn" and
          exceptions[0]["by"] == "Gus", "the exception is not in the record")
    signed = [r for r in records(run, "checkpoint") if r["covers"] == exceptions[0]["seq"]]
    check(len(signed) == 1 and signed[0]["by"] == "Gus", "the exception is not signed")

    # Not a rehearsal, and nothing secret anywhere.
    check(records(run, "open")[0]["rehearsal"] is False, "it is recorded as a rehearsal")
    check(not os.path.exists(os.path.join(run, "rehearsal")), "a rehearsal's folder")
    for room_ in rooms:
        shown = [s for s in SECRETS if s in room_.seen]
        check(not shown, f"shown: {shown}")
    for place, _, names in os.walk(run):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                octets = file.read()
            check(not any(s.encode() in octets for s in SECRETS), f"a PIN is in {name}")
    with open(os.path.join(run, "registry.jsonl"), encoding="utf-8") as file:
        registry = json.loads(file.readline())
    check(registry["rehearsal"] is False and len(registry["keys"]) == 2, "the registry")
    opinion = subprocess.run([verify, run], capture_output=True, text=True, timeout=60)
    check(opinion.returncode == 0 and "the seal of bag 4 is torn" in opinion.stdout,
          f"the verifier: {opinion.stdout[:600]}{opinion.stderr}")
    for n, token in enumerate("AB", 1):
        check(opinion.stdout.splitlines()[n].startswith(f"BEWARE: token {token} is a SoftHSM v2"),
              f"the waiver is not plain to see: {opinion.stdout[:600]}")
    check("BEWARE: blobs/canary-1.B.blob is wrapped with SHA-1 in OAEP" in opinion.stdout,
          f"SHA-1 is not plain to see: {opinion.stdout[:600]}")


def main():
    folder = tempfile.mkdtemp(prefix="tbs-test.")
    try:
        perform(*sys.argv[1:4], folder)
    finally:
        shutil.rmtree(folder)
    print("all is well")


if __name__ == "__main__":
    main()
