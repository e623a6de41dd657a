#!/usr/bin/env python3
"""Mallory of the demo: attacks on a KMS, with an implementation that shares nothing with it.

mallory.py URL FOLDER

FOLDER is the demo's, with keys/ and messages/. Exit status: 0 every attack failed as it should,
1 one did not.
"""
import json
import os
import sys
import time
from dataclasses import replace

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "peer"))

import mikey_ticket as mt  # noqa: E402
from run_against_kms import Server, describe  # noqa: E402

KMS = "sip:kms@example.net"
SUITE = mt.SUITES[256]
GREEN, PLAIN = ("\033[32m", "\033[0m") if sys.stdout.isatty() and not os.environ.get("NO_COLOR") \
    else ("", "")


class Demo:
    def __init__(self, url, folder):
        self.server, self.folder = Server(url, 10), folder
        self.mallory, self.alice, self.bob = map(self.user, ("mallory", "alice", "phone"))

    def user(self, name):
        with open(os.path.join(self.folder, "keys", f"{name}.json"), encoding="utf-8") as file:
            account = json.load(file)
        psk_file = os.path.join(self.folder, "keys", account["psk_file"])
        with open(psk_file, encoding="ascii") as file:
            return mt.Credential(account["identity"], account["psk_id"],
                                 bytes.fromhex(file.read()))

    def message(self, name):
        with open(os.path.join(self.folder, "messages", name), "rb") as file:
            return file.read()

    def keep(self, name, octets):
        with open(os.path.join(self.folder, "messages", name), "wb") as file:
            file.write(octets)

    def ticket(self):
        """The one that she saw in Bob's resolve."""
        return mt.Message.decode(self.message("05-phone-kms-resolve.mikey")).need(mt.Ticket)

    def expect_error(self, what, user, init, number, status):
        answer = self.server.post(init)
        mt.require(answer.status == status, f"{describe(answer)}; expected HTTP {status}")
        report = mt.open_error(SUITE, user, init, answer.body)
        mt.require(report.numbers == [number],
                   f"{describe(answer)}; expected Error {number}")
        said(f"{what}: Error {number}, HTTP {status}")
        return answer.body

    # The attacks

    def somebody_elses_ticket(self):
        init = mt.build_resolve_init(SUITE, self.mallory, KMS, self.ticket())
        error = self.expect_error("she shows Bob's ticket as herself", self.mallory, init, 12, 403)
        self.keep("10-mallory-kms-resolve.mikey", init)
        self.keep("11-kms-mallory-error.mikey", error)

    def somebody_elses_name(self):
        pretender = replace(self.mallory, identity=self.bob.identity)
        init = mt.build_resolve_init(SUITE, pretender, KMS, self.ticket())
        self.expect_error("she says that she is Bob", self.mallory, init, 0, 403)

    def replay(self):
        """The same octets get the same octets, which only Bob's key opens."""
        init = self.message("05-phone-kms-resolve.mikey")
        answer = self.server.post(init)
        mt.require(answer.body == self.message("06-kms-phone-keys.mikey"),
                   "the replay got another answer")
        try:
            mt.open_resolve_resp(SUITE, self.mallory, init, answer.body)
        except mt.Refused:
            said("she repeats Bob's message: the old answer again, which her key does not open")
        else:
            raise mt.Refused("Mallory opened Bob's answer")

    def changed_replay(self):
        init = bytearray(self.message("05-phone-kms-resolve.mikey"))
        value = mt.Message.decode(bytes(init)).need(mt.Randr, mt.RESPONDER).value
        init[init.index(value)] ^= 1
        self.expect_error("she repeats it with one bit changed", self.bob, bytes(init), 0, 403)

    def changed_ticket(self):
        """In transit to Bob, who then shows it to the KMS."""
        ticket = self.ticket()
        data = bytearray(ticket.data)
        data[-1] ^= 1
        init = mt.build_resolve_init(SUITE, self.bob, KMS, replace(ticket, data=bytes(data)))
        self.expect_error("she changes a ticket on its way to Bob", self.bob, init, 14, 403)

    def stretched_ticket(self):
        """A ticket whose end has come, with its end moved, and as it is."""
        now = int(time.time())
        policy = mt.wished_policy(SUITE, "DEFGHI", self.alice.identity, [self.bob.identity],
                                  now - 1, now + 1,
                                  [mt.wished_key(mt.TGK, SUITE.key_len, b"\0\0\0\1")])
        init = mt.build_request_init(SUITE, self.alice, KMS, policy)
        grant = mt.open_request_resp(SUITE, self.alice, init, self.server.post(init).body)
        transfer = mt.build_transfer_init(grant, self.alice.identity, self.bob.identity)
        ticket = mt.Message.decode(transfer).need(mt.Ticket)
        time.sleep(max(0.0, now + 2.1 - time.time()))
        late = mt.build_resolve_init(SUITE, self.bob, KMS, ticket)
        self.expect_error("Bob shows a ticket whose time is over", self.bob, late, 14, 403)
        end = ticket.policy.find(mt.Tr, mt.TR_END)
        later = replace(end, value=mt.ntp32(now + 3600))
        payloads = [later if p is end else p for p in ticket.policy.payloads]
        stretched = replace(ticket, policy=replace(ticket.policy, payloads=payloads))
        init = mt.build_resolve_init(SUITE, self.bob, KMS, stretched)
        self.expect_error("she moves its end", self.bob, init, 14, 403)

    def run(self):
        for attack in (self.somebody_elses_ticket, self.somebody_elses_name, self.replay,
                       self.changed_replay, self.changed_ticket, self.stretched_ticket):
            attack()


def said(sentence):
    print(f"  {GREEN}✓{PLAIN} {sentence}", flush=True)


def main():
    try:
        Demo(*sys.argv[1:]).run()
    except mt.MikeyError as problem:
        print(f"mallory: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
