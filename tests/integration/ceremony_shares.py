#!/usr/bin/env python3
"""A PIN in the hands of three people at a terminal: shares that are typed back wrong, people who are
missing, shares of a set of before. ceremony_shares.py TBS-CEREMONY VERIFY; exit status 0: all is
well."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import ceremony_room
from ceremony_room import SOFTHSM, USUAL, Room, check, records, softhsm

SCRIPT = """
ceremony: shares
title: A PIN in shares
operator: CA
quorum: {role: CO, people: 3, need: 2}
roles:
  - {id: CA, title: ceremony administrator, people: 1, not_with: [CO, IW]}
  - {id: CO, title: custodian, people: 3, not_with: [IW]}
  - {id: IW, title: witness, people: 1}
tokens: [A]
waivers:
  - {rule: softhsm, of: A, reason: a test, by: Gus}
keys:
  - {id: csk-1, role: ceremony, template: ceremony-ecdsa-p256-v1, custody: site-only, protect_days: 30, process_days: 60}
steps:
  - {id: "1", title: Token A, do: initialise, shares: true, class: irreversible, on: [A], present: [CA, CO>=3, IW], confirm: IW, abort: leave}
  - {id: "2", title: The signing key, do: generate, key: csk-1, class: create, on: [A], present: [CA, CO>=2, IW], confirm: IW, abort: destroy-new-objects}
  - {id: "3", title: The shares, do: check-shares, class: observe, on: [A], present: [CA, CO>=1, IW], confirm: IW}
  - {id: "4", title: New shares, do: set-pin, shares: true, class: irreversible, on: [A], present: [CA, CO>=3, IW], confirm: IW, abort: leave}
  - {id: "5", title: The new shares, do: check-shares, class: observe, on: [A], present: [CA, CO>=2, IW], confirm: IW}
  - {id: "6", title: All objects, do: inventory, class: observe, on: [A], present: [CA, IW], confirm: IW}
  - {id: "7", title: The record is signed, do: checkpoint, key: csk-1, class: observe, on: [A], present: [CA, IW], confirm: IW}
"""
SITE = f"""
tokens:
  - {{name: A, module: {SOFTHSM}, fresh: true, entropy: a test}}
people:
  - {{role: CA, name: Ann}}
  - {{role: CO, name: Bob}}
  - {{role: CO, name: Cid}}
  - {{role: CO, name: Dan}}
  - {{role: IW, name: Gus}}
"""


class Papers:
    """What the custodians wrote down, each from an own look at the screen."""

    def __init__(self):
        self.reader, self.of, self.every = None, {}, []

    def sit_down(self, found):
        self.reader = found[1]
        return ""

    def write_down(self, found):
        words = re.findall(r"\b(\d+) ([a-z]+)", found.string.split("Enter when")[0])
        check([int(n) for n, _ in words] == list(range(1, 21)), f"20 numbered words: {words}")
        check("\x1b[3J" not in found.string, "the share was cleared before it was read")
        share = " ".join(word for _, word in words)
        self.of[self.reader] = share
        self.every.append(share)
        ceremony_room.SECRETS.append(share)
        return ""

    def garbled(self, name):
        words = self.of[name].split(" ")
        words[7] = "acid" if words[7] != "acid" else "acne"
        ceremony_room.SECRETS.append(" ".join(words))
        return " ".join(words)

    def answers(self):
        return [(r"Next is \w+, alone[^:]*(Bob|Cid|Dan): Enter shows your share: $", self.sit_down),
                (r"Enter when it is on paper; the screen is then cleared: $", self.write_down),
                (r"(Bob|Cid|Dan): the share once more, from paper: $", lambda m: self.of[m[1]]),
                (r"(Bob|Cid|Dan): share of the PINs of token A: $", lambda m: self.of[m[1]]), *USUAL]


def any_custodian(answer):
    return (r"Any custodian \(\d of 2\): share of the PINs of token A: $", answer)


def calls(run):
    return [r["call"] for r in records(run, "api")]


def back(name, answer):
    return (name + r": the share once more, from paper: $", answer)


def perform(ceremony, verify, folder):
    run, papers, rooms = os.path.join(folder, "run"), Papers(), []
    softhsm(folder)
    for name, text in (("script.yaml", SCRIPT), ("site.yaml", SITE)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def room(*argv):
        rooms.append(Room(ceremony, *argv))
        return rooms[-1]

    # Cid never gets the own share right: the token gets no PIN.
    first = room("run", "--script", f"{folder}/script.yaml", "--site", f"{folder}/site.yaml", run)
    status = first.talk(papers.answers(), [back("Bob", lambda m: papers.garbled("Bob")),
                                           back("Cid", lambda m: papers.of["Bob"]),
                                           back("Cid", "acid acid acid"),
                                           back("Cid", lambda m: papers.garbled("Cid"))])
    check(status == 7, f"a share that was never right: {status}: {first.seen[-400:]}")
    check("Not taken: " in first.seen and "this is share 1, that of Bob" in first.seen and
          "Cid could not type a right share" in first.seen, f"slips: {first.seen[-900:]}")
    check(len(papers.every) == 5, f"a slip shows the share anew: {len(papers.every)} times")
    check(first.seen.count("\x1b[H\x1b[2J\x1b[3J") == 10, "the screen is cleared before and after")
    check("C_InitPIN" not in calls(run), "a PIN was set before its shares were proven")
    check([r["number"] for r in records(run, "share-verify")] == [1], "what was verified")

    # Anew, with another set; then somebody says stop.
    second = room("resume", run)
    status = second.talk(papers.answers(), [(r"(?s)Step 2 .*CA \(Ann\) confirms[^\n]*: $", "stop")])
    check(status == 5, f"stop: {status}: {second.seen[-400:]}")
    sets = [r["set"] for r in records(run, "share-commit")]
    check(len(sets) == 2 and sets[0] != sets[1], f"two sets: {sets}")
    check(records(run, "share-rebuild")[-1]["groups"] == [[1, 2], [2, 3]], "each share was proven")
    check(calls(run).count("C_InitPIN") == 1, "the PIN was set once")

    # One of three is too few.
    third = room("resume", run)
    absent = (r"\((Cid|Dan)\): your name, or 'absent': $", "absent")
    status = third.talk([absent, *papers.answers()])
    check(status == 7 and "2 shares are needed, and 1" in re.sub(r"\s+", " ", third.seen),
          f"too few shares: {status}: {third.seen[-400:]}")

    # Two of them rebuild the PIN; then all get new shares, and the old ones count no more.
    fourth, old = room("resume", run), dict(papers.of)
    status = fourth.talk(papers.answers(), [
        any_custodian(lambda m: papers.garbled("Bob")), any_custodian(lambda m: papers.of["Bob"]),
        any_custodian(lambda m: papers.of["Bob"]), any_custodian(lambda m: papers.of["Dan"]),
        (r"(?s)Step 5 .*Bob: share of the PINs of token A: $", lambda m: old["Bob"])])
    check(status == 0, f"the end: {status}: {fourth.seen[-600:]}")
    said = re.sub(r"\s+", " ", fourth.seen)
    check("Share 1 is there already" in said, "one share counted twice")
    check(f"this is a share of set {sets[1]}, and not of set" in said, "an old share")
    check(calls(run).count("C_InitPIN") == 2, "the new PIN was set")

    # Nobody but their holders ever saw a share.
    shown = "".join(r.seen for r in rooms)
    for share in papers.every:
        check(share not in shown, "a share was echoed")
    for place, _, names in os.walk(run):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                octets = file.read()
            for share in papers.every:
                check(" ".join(share.split(" ")[4:7]).encode() not in octets, f"a share in {name}")
    opinion = subprocess.run([verify, run], capture_output=True, text=True, timeout=60)
    check(opinion.returncode == 0 and "are in 3 shares, 2 of which rebuild them" in opinion.stdout,
          f"the verifier: {opinion.stdout[:900]}{opinion.stderr}")


def main():
    folder = tempfile.mkdtemp(prefix="tbs-test.")
    try:
        perform(sys.argv[1], sys.argv[2], folder)
    finally:
        shutil.rmtree(folder)
    print("all is well")


if __name__ == "__main__":
    main()
