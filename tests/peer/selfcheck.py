#!/usr/bin/python3
"""Holds the peer against the recorded vectors, octet for octet.

usage: selfcheck.py [DIRECTORY]     (default: ../vectors)

From a flow only the keys, the identities and what a sender chooses freely
(CSB IDs, timestamps, RANDs, crypto sessions) are taken; everything else is
computed anew and must give the recorded octets.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import mikey_ticket as mt

FLOWS = ("plain-256", "forking-256")


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, condition, why=""):
        if condition:
            self.passed += 1
            print(f"ok {name}")
        else:
            self.failed += 1
            print(f"FAIL {name} {why}")

    def equal(self, name, got, expected):
        self.check(name, got == expected, differ(got, expected))

    def refused(self, name, action):
        try:
            action()
        except mt.MikeyError:
            self.check(name, True)
        else:
            self.check(name, False, "was accepted")


def differ(got, expected):
    if not isinstance(got, bytes) or not isinstance(expected, bytes):
        return f"got {got!r}, expected {expected!r}"
    at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b),
              min(len(got), len(expected)))
    return f"differs at octet {at}: {got.hex()} is not {expected.hex()}"


class Flow:
    """One recorded run of the three exchanges."""

    def __init__(self, tally, vector):
        self.tally, self.vector = tally, vector
        self.name = vector["name"]
        self.suite = mt.SUITES[vector["suite"]]
        self.kms = vector["kms"]
        self.alice = self.credential("alice")
        self.bob = self.credential("bob")
        self.forking = "I" in vector["flags"]
        self.raw = {m: bytes.fromhex(vector[m]) for m in
                    ("request_init", "request_resp", "transfer_init",
                     "transfer_resp", "resolve_init", "resolve_resp")}
        self.message = {m: mt.Message.decode(raw)
                        for m, raw in self.raw.items()}

    def credential(self, who):
        v = self.vector
        return mt.Credential(v[who], v[f"{who}_psk_id"],
                             bytes.fromhex(v[f"{who}_psk"]))

    def octets(self, name):
        return bytes.fromhex(self.vector[name])

    def list_of(self, name):
        return [bytes.fromhex(k) for k in self.vector[name]]

    def equal(self, what, got, expected):
        self.tally.equal(f"{self.name}: {what}", got, expected)

    def chosen(self, name):
        """What the sender of a message chose freely."""
        message = self.message[name]
        return {"csb_id": message.hdr.csb_id, "stamp": message.need(mt.T)}

    def run(self):
        for name, message in self.message.items():
            self.equal(f"{name} decodes and encodes", message.encode(),
                       self.raw[name])
        self.request()
        self.ticket()
        self.transfer_init()
        self.resolve()
        self.transfer_resp()
        self.tampering()

    # Ticket Request

    def request(self):
        self.equal("REQUEST_INIT", self.built_request_init(),
                   self.raw["request_init"])
        self.grant = mt.open_request_resp(
            self.suite, self.alice, self.raw["request_init"],
            self.raw["request_resp"])
        self.equal("MPKi", self.grant.mpki, self.octets("mpki"))
        if self.forking:
            self.equal("MPKr", self.grant.mpkr, self.octets("mpkr"))
        self.equal("session keys", [k.key for k in self.grant.keys],
                   self.list_of("keys"))
        self.equal("REQUEST_RESP", self.rebuilt_response(
            "request_init", "request_resp", self.alice,
            [self.octets("mpki"), self.octets("mpkr")], self.grant.keys),
            self.raw["request_resp"])

    def built_request_init(self):
        message = self.message["request_init"]
        policy = message.need(mt.Tp).policy
        start, end = (mt.to_unix(tr.ts_type, tr.value) for tr in
                      (policy.find(mt.Tr, mt.TR_START),
                       policy.find(mt.Tr, mt.TR_END)))
        keys = [mt.wished_key(mt.TGK, len(k), mt.u32(n)) for n, k in
                enumerate(self.list_of("keys"), 1)]
        wished = mt.wished_policy(
            self.suite, self.vector["flags"], self.alice.identity,
            [self.vector["target"]], start, end, keys)
        return mt.build_request_init(
            self.suite, self.alice, self.kms, wished,
            randri=message.rand(mt.INITIATOR), **self.chosen("request_init"))

    def rebuilt_response(self, init, resp, user, mpks, session_keys):
        """The KMS's answer, with KEMAC and V computed anew."""
        request, answer = self.message[init], self.message[resp]
        keys = mt.message_keys(self.suite, user.psk, request.hdr.csb_id,
                               mt.LABEL_RESP, *mt.exchange_rands(request))
        mpk_count = 2 if self.forking else 1
        held = [mt.KeyData(mt.MPK, k, bytes(4)) for k in mpks[:mpk_count]]
        kemac = keys.seal(answer.need(mt.T), held + session_keys)
        payloads = [kemac if isinstance(p, mt.Kemac) else p
                    for p in answer.payloads[:-1]]
        return mt.protect(mt.Message(replace(answer.hdr), payloads), keys,
                          self.raw[init])

    # MIKEY base ticket

    def ticket(self):
        ticket, tpk = self.grant.ticket, self.octets("tpk")
        content = mt.open_ticket(self.suite, ticket, tpk)
        self.equal("MPK in the ticket", content.mpk, self.octets("mpk"))
        self.equal("RAND in the ticket", content.rand,
                   self.octets("ticket_rand"))
        self.equal("TPK ID", content.tpk_id.data.decode(),
                   self.vector["tpk_id"])
        self.equal("keys in the ticket", [k.key for k in content.keys],
                   self.list_of("keys"))
        mpki, mpkr = mt.derive_mpks(self.suite, self.octets("mpk"),
                                    self.octets("ticket_rand"))
        self.equal("MPKi from MPK", mpki, self.octets("mpki"))
        self.equal("MPKr from MPK", mpkr, self.octets("mpkr"))
        keys = [replace(k, key=key) for k, key in
                zip(self.grant.keys, self.list_of("keys"))]
        built = mt.build_ticket(ticket.policy, mt.TicketContent(
            self.suite, content.stamp, self.octets("ticket_rand"),
            mt.idr(mt.PSK, self.vector["tpk_id"]), self.octets("mpk"), keys),
            tpk)
        self.equal("Ticket Data", built.data, ticket.data)

    # Ticket Transfer and Ticket Resolve

    def transfer_init(self):
        message = self.message["transfer_init"]
        self.equal("RANDRi", message.rand(mt.INITIATOR),
                   self.octets("randri"))
        built = mt.build_transfer_init(
            self.grant, self.alice.identity, self.vector["target"],
            message.hdr.sessions, [message.need(mt.Sp)],
            randri=self.octets("randri"), **self.chosen("transfer_init"))
        self.equal("TRANSFER_INIT", built, self.raw["transfer_init"])
        if self.forking:
            mt.verify_initiator_data(self.suite, message.need(mt.Ticket),
                                     self.octets("mpkr"))

    def resolve(self):
        message = self.message["resolve_init"]
        ticket = self.message["transfer_init"].need(mt.Ticket)
        built = mt.build_resolve_init(
            self.suite, self.bob, self.kms, ticket,
            randrr=message.rand(mt.RESPONDER), **self.chosen("resolve_init"))
        self.equal("RESOLVE_INIT", built, self.raw["resolve_init"])
        self.resolved = mt.open_resolve_resp(
            self.suite, self.bob, self.raw["resolve_init"],
            self.raw["resolve_resp"])
        self.equal("MPKi of the Responder", self.resolved.mpki,
                   self.octets("mpki"))
        if self.forking:
            self.equal("MPKr'", self.resolved.mpkr,
                       self.octets("forked_mpkr"))
            self.equal("RANDRkms", self.resolved.rand_kms.value,
                       self.octets("rand_kms"))
        self.equal("forked keys of the Responder",
                   [k.key for k in self.resolved.keys],
                   self.list_of("forked_keys"))
        self.equal("RESOLVE_RESP", self.rebuilt_response(
            "resolve_init", "resolve_resp", self.bob,
            [self.octets("mpki"), self.octets("forked_mpkr")],
            self.resolved.keys), self.raw["resolve_resp"])

    def transfer_resp(self):
        message = self.message["transfer_resp"]
        init_raw, resp_raw = (self.raw["transfer_init"],
                              self.raw["transfer_resp"])
        built = mt.build_transfer_resp(
            self.resolved, init_raw, message.hdr.sessions,
            stamp=message.need(mt.T), randrr=self.octets("randrr"))
        self.equal("TRANSFER_RESP", built, resp_raw)
        alice = mt.accept_transfer_resp(self.grant, init_raw, resp_raw)
        bob = mt.responder_session(self.resolved, init_raw, resp_raw)
        self.equal("forked keys of the Initiator",
                   [k.key for k in alice.keys], self.list_of("forked_keys"))
        self.equal("traffic keys of both sides", alice.traffic, bob.traffic)
        self.master_key(alice)

    def master_key(self, session):
        """The recorded master key may be longer than the SP asks for."""
        expected = self.octets("srtp_master_key_cs1")
        randrr = self.octets("randrr")
        tek, salt = mt.traffic_key(
            self.suite, session.keys[0], 1, self.octets("randri"), randrr,
            len(expected))
        self.equal("SRTP master key", tek, expected)
        self.equal("SRTP master salt", salt,
                   self.octets("srtp_master_salt_cs1"))

    # What must not be accepted

    def tampering(self):
        def refuses(what, action):
            self.tally.refused(f"{self.name}: refuses {what}", action)

        raw = self.raw
        readers = {
            "request_resp": lambda octets: mt.open_request_resp(
                self.suite, self.alice, raw["request_init"], octets),
            "resolve_resp": lambda octets: mt.open_resolve_resp(
                self.suite, self.bob, raw["resolve_init"], octets),
            "transfer_init": lambda octets: mt.verify_transfer_init(
                self.resolved, octets),
            "transfer_resp": lambda octets: mt.accept_transfer_resp(
                self.grant, raw["transfer_init"], octets),
        }
        for name, reader in readers.items():
            refuses(f"{name} truncated anywhere",
                    lambda: any_accepted(reader, truncations(raw[name])))
            refuses(f"{name} with any octet changed",
                    lambda: any_accepted(reader, self.changes(name)))

    def changes(self, name):
        """Every octet changed in turn, but for Initiator Data's Vr, which
        only the KMS can check."""
        raw, blind = self.raw[name], range(0)
        if name == "transfer_init" and self.forking:
            data = self.message[name].need(mt.Ticket).initiator_data
            end = raw.index(data) + len(data)
            blind = range(end - self.suite.auth_len, end)
        for at in range(len(raw)):
            if at not in blind:
                yield raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:]


def truncations(raw):
    return (raw[:n] for n in range(len(raw)))


def any_accepted(reader, variants):
    """Raises Refused when every variant is refused."""
    for octets in variants:
        try:
            reader(octets)
        except mt.MikeyError:
            continue
        return octets
    raise mt.Refused("all refused")


HASH_OF_PRF = {"PRF-HMAC-SHA-1": "sha1", "PRF-HMAC-SHA-256": "sha256"}


def check_prf(tally, vectors):
    for v in vectors:
        expected = bytes.fromhex(v["outkey"])
        got = mt.prf(HASH_OF_PRF[v["alg"]], bytes.fromhex(v["inkey"]),
                     bytes.fromhex(v["label"]), len(expected))
        tally.equal(f"prf: {v['alg']} {v['name']}", got, expected)


def main():
    directory = (Path(sys.argv[1]) if len(sys.argv) > 1 else
                 Path(__file__).resolve().parent.parent / "vectors")
    tally = Tally()
    check_prf(tally, json.loads((directory / "prf.json").read_text()))
    for name in FLOWS:
        vector = json.loads((directory / f"{name}.json").read_text())
        Flow(tally, vector).run()
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
