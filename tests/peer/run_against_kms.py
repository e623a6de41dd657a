#!/usr/bin/python3
"""Runs the independent MIKEY-TICKET peer against a KMS over HTTP.

Alice requests a ticket, transfers it to Bob, Bob resolves it and answers;
then come the messages that a KMS must refuse.  One line per case; the exit
code is 0 when all of them passed.
"""

import argparse
import http.client
import os
import random
import sys
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import mikey_ticket as mt
from mikey_ticket import require

MEDIA_TYPE = "application/mikey"
SKEW = 300                  # seconds a KMS's clock may be off
STALE = 3600                # seconds that are stale for certain
DISTANT = 10 * 366 * 86400  # seconds that no ticket is granted ahead
BASE_FLAGS = "DEFGHJNO"
MISMATCH = (mt.ERR_PRF, mt.ERR_MAC, mt.ERR_EA)
KEY_SETS = {
    "TGK": [mt.TGK],
    "TEK+TEK": [mt.TEK, mt.TEK],
    "GTGK": [mt.GTGK],
    "TGK+TEK+GTGK": [mt.TGK, mt.TEK, mt.GTGK],
}


# --- HTTP ------------------------------------------------------------------

@dataclass
class Answer:
    status: int
    media_type: str
    body: bytes
    retry_after: str


class Server:
    """POSTs messages to the KMS, one connection each."""

    def __init__(self, url, timeout):
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise SystemExit(f"not a plain HTTP URL: {url}")
        self.host, self.port = parts.hostname, parts.port or 80
        self.path = parts.path if parts.path not in ("", "/") else "/mikey"
        self.timeout = timeout

    def post(self, body):
        """Waits and tries again while the KMS asks for patience."""
        for _ in range(5):
            answer = self.post_once(body)
            if answer.status not in (429, 503):
                break
            time.sleep(min(float(answer.retry_after or 1), 5))
        return answer

    def post_once(self, body):
        connection = http.client.HTTPConnection(self.host, self.port,
                                                timeout=self.timeout)
        try:
            connection.request("POST", self.path, body,
                               {"Content-Type": MEDIA_TYPE})
            response = connection.getresponse()
            return Answer(response.status,
                          response.getheader("Content-Type", ""),
                          response.read(),
                          response.getheader("Retry-After"))
        finally:
            connection.close()


# --- What an answer must look like -----------------------------------------

def describe(answer):
    """For a failed case: the status, and the error if there is one."""
    try:
        message = mt.Message.decode(answer.body)
        numbers = [p.number for p in message.payloads
                   if isinstance(p, mt.Err)]
        return f"HTTP {answer.status}, MIKEY Error {numbers}"
    except mt.MikeyError:
        return f"HTTP {answer.status}, body {answer.body[:40]!r}"


def expect_ok(answer):
    require(answer.status == 200, describe(answer))
    media_type = answer.media_type.split(";")[0].strip().lower()
    require(media_type == MEDIA_TYPE, f"Content-Type {answer.media_type!r}")
    return answer.body


def is_refusal(answer):
    return 400 <= answer.status < 500


def expect_error(answer, suite, user, init, numbers, status=None, v=None):
    """v: True when V must be there, False when it must not.  Returns a note
    for the case's line."""
    require(is_refusal(answer), describe(answer))
    require(status in (None, answer.status),
            f"{describe(answer)}; expected HTTP {status}")
    if v is False:
        require(mt.Message.decode(answer.body).find(mt.V) is None,
                f"{describe(answer)} with V")
    report = mt.open_error(suite, user, init, answer.body)
    require(len(report.numbers) == 1 and report.numbers[0] in numbers,
            f"{describe(answer)}; expected Error {sorted(numbers)}")
    require(v in (None, report.authenticated),
            f"{describe(answer)} with{'' if report.authenticated else 'out'} "
            "V")
    require(report.message.hdr.v_flag == 0, "V flag set in an Error message")
    check_fresh(report.message)
    return (f"(HTTP {answer.status}, Error {report.numbers[0]}, "
            f"{'V' if report.authenticated else 'no V'})")


def check_fresh(message):
    stamp = message.need(mt.T)
    off = mt.to_unix(stamp.ts_type, stamp.value) - time.time()
    require(abs(off) <= SKEW, f"T is off by {off:.0f} s")


def check_response(message):
    """4.2.1.5 and 4.2.3.5: V flag 0, a fresh T."""
    require(message.hdr.v_flag == 0, "V flag set in a response")
    check_fresh(message)


def check_flags(flags, keys):
    """6.10: the flags are not independent."""
    has = set(flags).__contains__
    tgk = any(k.key_type in mt.FORKED_TYPES for k in keys)
    rules = {
        "NOT D implies L": has("D") or has("L"),
        "G implies F": not has("G") or has("F"),
        "G or H": has("G") or has("H"),
        "I implies E": not has("I") or has("E"),
        "K implies D": not has("K") or has("D"),
        "M implies F": not has("M") or has("F"),
        "I with a TGK implies F": not (has("I") and tgk) or has("F"),
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    require(not broken, f"flags {flags}: {', '.join(broken)}")


def check_k_flag(init, wish, grant):
    """6.10: K tells whether the KMS changed policy or keys."""
    asked = mt.Message.decode(init).need(mt.Tp).policy
    granted = grant.ticket.policy
    changes = mt.policy_changes(asked, wish.keys(), granted, grant.keys)
    require(granted.has("K") == bool(changes),
            f"K={int(granted.has('K'))}, but changed: "
            f"{', '.join(changes) or 'nothing'}")


# --- The users and their exchanges -----------------------------------------

@dataclass
class Wish:
    """What a REQUEST_INIT asks for."""
    suite: mt.Suite
    flags: str = BASE_FLAGS
    key_types: tuple = (mt.TGK,)
    key_len: int = 0        # 0: as long as the suite's encr_key
    start: int = 0          # of validity, in seconds from now

    def keys(self):
        length = self.key_len or self.suite.key_len
        return [mt.wished_key(kind, length, mt.u32(0xA0 + number))
                for number, kind in enumerate(self.key_types)]


class World:
    """The KMS and the users that talk to it."""

    def __init__(self, options):
        self.server = Server(options.url, options.timeout)
        self.kms = options.kms_id
        self.alice = credential(options, "alice")
        self.bob = credential(options, "bob")
        self.mallory = (credential(options, "mallory") if options.mallory
                        else None)
        self.responder = options.responder or options.bob
        self.validity = options.validity

    def policy(self, wish):
        start = int(time.time()) + wish.start
        return mt.wished_policy(wish.suite, wish.flags, self.alice.identity,
                                [self.responder], start, start + self.validity,
                                wish.keys())

    def request_init(self, wish, user=None, kms=None, **choices):
        return mt.build_request_init(wish.suite, user or self.alice,
                                     kms or self.kms, self.policy(wish),
                                     **choices)

    def grant(self, wish, **choices):
        """A whole Ticket Request exchange by Alice."""
        init = self.request_init(wish, **choices)
        return self.accept_grant(wish, init, self.server.post(init))

    def accept_grant(self, wish, init, answer):
        grant = mt.open_request_resp(wish.suite, self.alice, init,
                                     expect_ok(answer))
        check_response(grant.response)
        policy = grant.ticket.policy
        require(policy.has("D"), "ticket without the D flag")
        check_flags(policy.flags, grant.keys)
        owner = policy.find(mt.Idr, mt.INITIATOR)
        require(owner is None or owner.data == self.alice.identity.encode(),
                "the ticket names another Initiator")
        return grant

    def transfer_init(self, grant):
        return mt.build_transfer_init(grant, self.alice.identity,
                                      self.responder)

    def ticket(self, wish):
        """A ticket as the Responder gets it, with Initiator Data."""
        transfer = self.transfer_init(self.grant(wish))
        return mt.Message.decode(transfer).need(mt.Ticket)

    def resolve_init(self, suite, ticket, user=None, kms=None, **choices):
        return mt.build_resolve_init(suite, user or self.bob,
                                     kms or self.kms, ticket, **choices)

    def resolve(self, suite, ticket, **choices):
        """A whole Ticket Resolve exchange by Bob."""
        init = self.resolve_init(suite, ticket, **choices)
        resolved = mt.open_resolve_resp(suite, self.bob, init,
                                        expect_ok(self.server.post(init)))
        check_response(resolved.response)
        if resolved.idr:
            require(resolved.idr.data in (self.bob.identity.encode(),
                                          self.responder.encode()),
                    f"IDRr {resolved.idr.data!r} is neither Bob nor whom "
                    "Alice called")
        return resolved


def credential(options, who):
    def option(name):
        value = getattr(options, f"{who}{name}")
        if value is None:
            raise SystemExit(f"--{who}{name.replace('_', '-')} is missing")
        return value

    with open(option("_psk_file"), encoding="ascii") as file:
        psk = bytes.fromhex(file.read())
    return mt.Credential(option(""), option("_psk_id"), psk)


# --- The cases -------------------------------------------------------------

class Cases:
    def __init__(self, world, options):
        self.world, self.options = world, options
        self.server = world.server
        self.passed = self.failed = 0

    def case(self, name, action, *arguments):
        try:
            note = action(*arguments)
        except Exception as problem:    # whatever the KMS provoked
            self.failed += 1
            kind = ("" if isinstance(problem, mt.MikeyError)
                    else f"{type(problem).__name__}: ")
            print(f"FAIL {name} {kind}{problem}", flush=True)
        else:
            self.passed += 1
            print(f"ok {name}{f' {note}' if note else ''}", flush=True)

    def run(self):
        suites = [mt.SUITES[bits] for bits in self.options.suites]
        for suite in suites:
            self.matrix(suite)
        for suite in suites:
            self.variants(suite)
            self.refusals(suite)
        for bits, suite in mt.SUITES.items():
            if bits not in self.options.suites:
                self.case(f"{bits} suite not allowed", self.suite_refused,
                          suite)
        self.fuzz(suites[0])
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0

    # Whole runs of the three exchanges

    def matrix(self, suite):
        for flags, how in ((BASE_FLAGS + "I", "forking"),
                           (BASE_FLAGS, "plain")):
            for name, types in KEY_SETS.items():
                self.case(f"{suite.bits} {how} {name}", self.flow,
                          Wish(suite, flags, tuple(types)))

    def flow(self, wish):
        suite, world = wish.suite, self.world
        init = world.request_init(wish)
        grant = world.accept_grant(wish, init, self.server.post(init))
        check_k_flag(init, wish, grant)
        transfer = world.transfer_init(grant)
        ticket = mt.Message.decode(transfer).need(mt.Ticket)
        resolved = world.resolve(suite, ticket)
        response = mt.build_transfer_resp(resolved, transfer)
        bob = mt.responder_session(resolved, transfer, response)
        alice = mt.accept_transfer_resp(grant, transfer, response)
        require(alice.keys == bob.keys, "the session keys differ")
        require(alice.traffic and alice.traffic == bob.traffic,
                "the traffic keys differ")
        self.check_forking(grant, resolved)
        self.check_keys(grant.keys, wish)
        return f"(flags {grant.ticket.policy.flags})"

    def check_forking(self, grant, resolved):
        """5.1.1: TGKs are forked; TEKs and GTGKs are not."""
        forking = grant.ticket.policy.has("I")
        for mine, theirs in zip(grant.keys, resolved.keys):
            forked = forking and mine.key_type in mt.FORKED_TYPES
            require((mine.key != theirs.key) == forked,
                    f"{mine.name()} is {'not ' if forked else ''}forked")
        if forking:
            require(grant.mpkr != resolved.mpkr, "MPKr is not forked")
            require(grant.mpki not in (grant.mpkr, resolved.mpkr),
                    "MPKi and MPKr are one key")

    def check_keys(self, keys, wish):
        require(keys, "no session key")
        require(len({k.key for k in keys}) == len(keys), "a key used twice")
        limit = 16 if wish.suite.bits == 128 else 64
        for k in keys:
            require(any(k.key), "an all-zero key")
            require(16 <= len(k.key) <= limit,
                    f"{k.name()} of {len(k.key)} octets (12.1)")

    # Other ways to ask

    def variants(self, suite):
        name = suite.bits
        self.case(f"{name} without RANDRr (G off)", self.flow,
                  Wish(suite, "DEFHIJNO"))
        self.case(f"{name} without RANDRi in the traffic keys (H off)",
                  self.flow, Wish(suite, "DEFGIJNO"))
        self.case(f"{name} K set in TP", self.flow,
                  Wish(suite, BASE_FLAGS + "K"))
        self.case(f"{name} no wished KEMAC: default keys", self.default_keys,
                  suite)
        for what, roles in (("IDRkms", (mt.KMS,)), ("IDRi", (mt.INITIATOR,))):
            self.case(f"{name} REQUEST_INIT without {what}",
                      self.request_without, suite, roles)
        for what, roles in (("IDRkms", (mt.KMS,)), ("IDRr", (mt.RESPONDER,))):
            self.case(f"{name} RESOLVE_INIT without {what}",
                      self.resolve_without, suite, roles)
        self.case(f"{name} resolved twice: fresh RANDRkms",
                  self.resolved_twice, suite)
        if suite.bits == 128:
            self.case(f"{name} never protects a 256-bit key",
                      self.long_key_refused, suite)

    def request_without(self, suite, roles):
        self.world.grant(Wish(suite), omit=roles)

    def resolve_without(self, suite, roles):
        self.world.resolve(suite, self.world.ticket(Wish(suite)), omit=roles)

    def default_keys(self, suite):
        """4.2.1.5: without a wished KEMAC the KMS has its default.  K is
        left alone, for there was no wish to change."""
        wish = Wish(suite, key_types=())
        grant = self.world.grant(wish)
        self.check_keys(grant.keys, wish)
        return f"({', '.join(k.name() for k in grant.keys)})"

    def resolved_twice(self, suite):
        """4.2.3.5: RANDRkms is fresh, so are MPKr' and the TGKs."""
        ticket = self.world.ticket(Wish(suite, BASE_FLAGS + "I"))
        first, second = (self.world.resolve(suite, ticket) for _ in range(2))
        require(first.mpki == second.mpki, "MPKi changed")
        require(first.rand_kms != second.rand_kms, "RANDRkms used twice")
        require(first.mpkr != second.mpkr, "MPKr' used twice")

    def long_key_refused(self, suite):
        """12.1: a shorter key and K, or an Error."""
        wish = Wish(suite, key_len=32)
        init = self.world.request_init(wish)
        answer = self.server.post(init)
        if answer.status == 200:
            grant = self.world.accept_grant(wish, init, answer)
            self.check_keys(grant.keys, wish)
            check_k_flag(init, wish, grant)
            return "(shortened)"
        return expect_error(answer, suite, self.world.alice, init,
                            (mt.ERR_TPPAR, mt.ERR_EA), v=True)

    # What a KMS must refuse

    def refusals(self, suite):
        name = suite.bits
        for what, action in (
                ("wrong PSK in REQUEST_INIT", self.wrong_psk),
                ("wrong PSK in RESOLVE_INIT", self.wrong_psk_resolve),
                ("unknown user", self.unknown_user),
                ("replayed T with other content", self.replay),
                ("replayed T in RESOLVE_INIT", self.replay_resolve),
                ("identical REQUEST_INIT, identical answer", self.again),
                ("identical RESOLVE_INIT, identical answer",
                 self.again_resolve),
                ("stale timestamp", self.stale),
                ("timestamp in the future", self.future),
                ("stale timestamp in RESOLVE_INIT", self.stale_resolve),
                ("unknown IDRkms", self.unknown_kms),
                ("unknown IDRkms in RESOLVE_INIT", self.unknown_kms_resolve),
                ("byte string as IDRi", self.byte_string_as_user),
                ("RANDRi shorter than the PSK", self.short_rand),
                ("PRF of one suite, V of the other", self.mixed_suites),
                ("impossible flags: I without E", self.impossible_flags),
                ("validity that starts in ten years", self.distant_start),
                ("garbage", self.garbage),
                ("octets behind the last payload", self.trailing),
                ("TRANSFER_INIT sent to the KMS", self.wrong_data_type)):
            self.case(f"{name} {what}", action, suite)
        self.changed_tickets(suite)
        self.mallory_cases(suite)

    def refused(self, suite, user, init, numbers, status=None, v=None):
        return expect_error(self.server.post(init), suite, user, init,
                            numbers, status, v)

    def wrong_psk(self, suite):
        imposter = replace(self.world.alice, psk=os.urandom(32))
        init = self.world.request_init(Wish(suite), user=imposter)
        return self.refused(suite, imposter, init, (mt.ERR_AUTH,), 403, False)

    def wrong_psk_resolve(self, suite):
        imposter = replace(self.world.bob, psk=os.urandom(32))
        ticket = self.world.ticket(Wish(suite))
        init = self.world.resolve_init(suite, ticket, user=imposter)
        return self.refused(suite, imposter, init, (mt.ERR_AUTH,), 403, False)

    def unknown_user(self, suite):
        nobody = mt.Credential("sip:nobody-at-all@invalid", "no-such-psk",
                               os.urandom(32))
        init = self.world.request_init(Wish(suite), user=nobody)
        return self.refused(suite, nobody, init, (mt.ERR_AUTH,), 403, False)

    def replay(self, suite):
        stamp, wish = mt.ntp_now(), Wish(suite)
        self.world.grant(wish, stamp=stamp)
        init = self.world.request_init(wish, stamp=stamp)
        return self.refused(suite, self.world.alice, init, (mt.ERR_TS,), 409,
                            True)

    def replay_resolve(self, suite):
        stamp, ticket = mt.ntp_now(), self.world.ticket(Wish(suite))
        self.world.resolve(suite, ticket, stamp=stamp)
        init = self.world.resolve_init(suite, ticket, stamp=stamp)
        return self.refused(suite, self.world.bob, init, (mt.ERR_TS,), 409,
                            True)

    def same_answer(self, init):
        first = expect_ok(self.server.post(init))
        for _ in range(2):
            require(expect_ok(self.server.post(init)) == first,
                    "another answer")

    def again(self, suite):
        self.same_answer(self.world.request_init(Wish(suite)))

    def again_resolve(self, suite):
        """With forking: a second RANDRkms would show."""
        ticket = self.world.ticket(Wish(suite, BASE_FLAGS + "I"))
        self.same_answer(self.world.resolve_init(suite, ticket))

    def stale(self, suite, shift=-STALE):
        init = self.world.request_init(Wish(suite), stamp=mt.ntp_now(shift))
        return self.refused(suite, self.world.alice, init, (mt.ERR_TS,), 409)

    def future(self, suite):
        return self.stale(suite, STALE)

    def stale_resolve(self, suite):
        init = self.world.resolve_init(suite, self.world.ticket(Wish(suite)),
                                       stamp=mt.ntp_now(-STALE))
        return self.refused(suite, self.world.bob, init, (mt.ERR_TS,), 409)

    def unknown_kms(self, suite):
        init = self.world.request_init(Wish(suite),
                                       kms="sip:another-kms@invalid")
        return self.refused(suite, self.world.alice, init, (mt.ERR_ID,))

    def unknown_kms_resolve(self, suite):
        init = self.world.resolve_init(suite, self.world.ticket(Wish(suite)),
                                       kms="sip:another-kms@invalid")
        return self.refused(suite, self.world.bob, init, (mt.ERR_ID,))

    def byte_string_as_user(self, suite):
        """6.5: that ID Type identifies a PSK.  The MAC is wrong as well."""
        message = mt.Message.decode(self.world.request_init(Wish(suite)))
        message.find(mt.Idr, mt.INITIATOR).id_type = mt.ID_BYTES
        return self.refused(suite, self.world.alice, message.encode(),
                            (mt.ERR_ID,), 400, False)

    def short_rand(self, suite):
        """12.1: the RANDs are at least as long as the PSK."""
        alice = self.world.alice
        init = self.world.request_init(
            Wish(suite), randri=os.urandom(len(alice.psk) - 1))
        return self.refused(suite, alice, init, (mt.ERR_UNSPECIFIED,), 400)

    def mixed_suites(self, suite):
        other = mt.SUITES[256 if suite.bits == 128 else 128]
        message = mt.Message.decode(self.world.request_init(Wish(suite)))
        message.hdr.prf = other.prf
        init = message.encode()
        return self.refused(suite, self.world.alice, init,
                            MISMATCH + (mt.ERR_AUTH,), v=False)

    def impossible_flags(self, suite):
        """Refused, or repaired with the K flag."""
        wish = Wish(suite, "DFGHIJNO")
        init = self.world.request_init(wish)
        answer = self.server.post(init)
        if answer.status == 200:
            grant = self.world.accept_grant(wish, init, answer)
            check_k_flag(init, wish, grant)
            return "(repaired)"
        return expect_error(answer, suite, self.world.alice, init,
                            (mt.ERR_TPPAR,), v=True)

    def distant_start(self, suite):
        """Tickets cannot be fetched ahead for any time to come."""
        init = self.world.request_init(Wish(suite, start=DISTANT))
        return self.refused(suite, self.world.alice, init,
                            (mt.ERR_TPPAR,), v=True)

    def suite_refused(self, suite):
        init = self.world.request_init(Wish(suite))
        return self.refused(suite, self.world.alice, init, MISMATCH)

    def garbage(self, suite):
        rng = random.Random(self.options.seed)
        samples = [b"", b"\0", b"<html></html>", rng.randbytes(10),
                   bytes(1000), b"\xff" * 1000, b"\x01" * 200,
                   b"\x02" + rng.randbytes(300), rng.randbytes(60000)]
        for sample in samples:
            answer = self.server.post(sample)
            require(answer.status == 400,
                    f"{describe(answer)} for {len(sample)} octets "
                    f"{sample[:8].hex()}")

    def trailing(self, suite):
        init = self.world.request_init(Wish(suite))
        for tail in (b"\0", bytes(40), init):
            answer = self.server.post(init + tail)
            require(is_refusal(answer), describe(answer))

    def wrong_data_type(self, suite):
        init = self.world.transfer_init(self.world.grant(Wish(suite)))
        answer = self.server.post(init)
        require(is_refusal(answer), describe(answer))
        return f"(HTTP {answer.status})"

    # Tickets that are not as the KMS made them

    def changed_tickets(self, suite):
        edits = {
            "MAC": lambda t: with_data(t, flip_last(t.data)),
            "KEMAC": change_kemac,
            "TPK ID": change_tpk_id,
            "TRe": extend_validity,
            "IDRr": rename_responder,
            "I flag": drop_forking,
            "Ticket Type": lambda t: with_policy(t, ticket_type=61440),
        }
        for what, edit in edits.items():
            self.case(f"{suite.bits} changed ticket: {what}",
                      self.changed_ticket, suite, edit, (mt.ERR_TICKET,))
        for what, edit in (
                ("Vr", lambda t: replace(
                    t, initiator_data=flip_last(t.initiator_data))),
                ("Vi", change_vi),
                ("no Initiator Data",
                 lambda t: replace(t, initiator_data=b""))):
            self.case(f"{suite.bits} changed Initiator Data: {what}",
                      self.changed_ticket, suite, edit,
                      (mt.ERR_TICKET, mt.ERR_UNSPECIFIED, mt.ERR_AUTH))

    def changed_ticket(self, suite, edit, numbers):
        ticket = edit(self.world.ticket(Wish(suite, BASE_FLAGS + "I")))
        init = self.world.resolve_init(suite, ticket)
        return self.refused(suite, self.world.bob, init, numbers, v=True)

    # Mallory, an honest user otherwise

    def mallory_cases(self, suite):
        if not self.world.mallory:
            print(f"skip {suite.bits} Mallory: no --mallory given")
            return
        for flags, how in ((BASE_FLAGS, "plain"), (BASE_FLAGS + "I",
                                                   "forking")):
            self.case(f"{suite.bits} Mallory resolves Bob's {how} ticket",
                      self.mallory_resolves, Wish(suite, flags))
        self.case(f"{suite.bits} Mallory resolves in Bob's name",
                  self.mallory_as_bob, suite)
        self.case(f"{suite.bits} Mallory requests in Alice's name",
                  self.mallory_as_alice, suite)

    def mallory_resolves(self, wish):
        init = self.world.resolve_init(wish.suite, self.world.ticket(wish),
                                       user=self.world.mallory)
        return self.refused(wish.suite, self.world.mallory, init,
                            (mt.ERR_UNSPECIFIED,), 403, True)

    def mallory_as_bob(self, suite):
        user = replace(self.world.mallory, identity=self.world.bob.identity)
        init = self.world.resolve_init(
            suite, self.world.ticket(Wish(suite)), user=user)
        return self.refused(suite, user, init,
                            (mt.ERR_AUTH, mt.ERR_UNSPECIFIED), 403)

    def mallory_as_alice(self, suite):
        user = replace(self.world.mallory, identity=self.world.alice.identity)
        init = self.world.request_init(Wish(suite), user=user)
        return self.refused(suite, user, init,
                            (mt.ERR_AUTH, mt.ERR_UNSPECIFIED), 403)

    # Random damage

    def fuzz(self, suite):
        world, count = self.world, self.options.fuzz
        requests = {
            "REQUEST_INIT": lambda: world.request_init(Wish(suite)),
            "RESOLVE_INIT": lambda: world.resolve_init(
                suite, world.ticket(Wish(suite, BASE_FLAGS + "I"))),
        }
        for name, build in requests.items():
            self.case(f"{suite.bits} {count} damaged {name} "
                      f"(seed {self.options.seed})", self.damaged, build)
        self.case(f"{suite.bits} alive after the damage", self.flow,
                  Wish(suite, BASE_FLAGS + "I"))

    def damaged(self, build):
        rng = random.Random(self.options.seed)
        good = build()
        seen = {}
        for number in range(self.options.fuzz):
            bad = (truncated if number % 2 else bits_flipped)(rng, good)
            answer = self.server.post_once(bad)
            require(is_refusal(answer) or answer.status == 503,
                    f"{describe(answer)} for no. {number}: {bad.hex()}")
            seen[answer.status] = seen.get(answer.status, 0) + 1
        return "(" + ", ".join(f"{n} times HTTP {status}"
                               for status, n in sorted(seen.items())) + ")"


def truncated(rng, octets):
    return octets[:rng.randrange(len(octets))]


def bits_flipped(rng, octets):
    """One to eight different bits, so the result always differs."""
    out = bytearray(octets)
    for bit in rng.sample(range(8 * len(out)), rng.randint(1, 8)):
        out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


# --- Edits of a TICKET payload ---------------------------------------------

def flip_last(octets):
    return octets[:-1] + bytes([octets[-1] ^ 1])


def with_data(ticket, data):
    return replace(ticket, data=data)


def with_policy(ticket, **changes):
    return replace(ticket, policy=replace(ticket.policy, **changes))


def with_policy_payloads(ticket, edit):
    return with_policy(ticket,
                       payloads=[edit(p) for p in ticket.policy.payloads])


def edit_ticket_data(ticket, edit):
    """Edit the payloads that follow THDR (A.1)."""
    r = mt.Reader(ticket.data)
    first, thdr = r.number(1), r.block(2)
    payloads = [edit(p) for p in mt.read_chain(r, first)]
    return with_data(ticket, mt.u8(first) + mt.block16(thdr)
                     + mt.encode_chain(payloads))


def change_kemac(ticket):
    return edit_ticket_data(
        ticket, lambda p: replace(p, encr_data=flip_last(p.encr_data))
        if isinstance(p, mt.Kemac) else p)


def change_tpk_id(ticket):
    changed = edit_ticket_data(
        ticket, lambda p: replace(p, data=b"no-such-tpk")
        if isinstance(p, mt.Idr) else p)
    require(changed != ticket, "the ticket has no IDRpsk to change")
    return changed


def extend_validity(ticket):
    def later(p):
        if not isinstance(p, mt.Tr) or p.role != mt.TR_END:
            return p
        seconds = int.from_bytes(p.value[:4], "big") + 60
        return replace(p, value=mt.u32(seconds % 2**32) + p.value[4:])

    changed = with_policy_payloads(ticket, later)
    require(changed != ticket, "the ticket has no TRe to change")
    return changed


def rename_responder(ticket):
    return with_policy_payloads(
        ticket, lambda p: replace(p, data=b"sip:somebody-else@invalid")
        if isinstance(p, mt.Idr) and p.role == mt.RESPONDER else p)


def drop_forking(ticket):
    plain = with_policy(ticket, flags=ticket.policy.flags.replace("I", ""))
    return replace(plain, initiator_data=b"")


def change_vi(ticket):
    """The first octet of Vi's MAC: First Payload and two octets before."""
    data = bytearray(ticket.initiator_data)
    data[3] ^= 1
    return replace(ticket, initiator_data=bytes(data))


# --- Command line ----------------------------------------------------------

def suite_list(text):
    bits = [int(word) for word in text.split(",")]
    if not bits or not set(bits) <= set(mt.SUITES):
        raise argparse.ArgumentTypeError("suites are 256 and 128")
    return bits


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="http://host:port[/path]")
    parser.add_argument("--kms-id", required=True, help="IDRkms, a URI")
    for who, needed in (("alice", True), ("bob", True), ("mallory", False)):
        parser.add_argument(f"--{who}", required=needed, help="a URI")
        parser.add_argument(f"--{who}-psk-id", required=needed)
        parser.add_argument(f"--{who}-psk-file", required=needed,
                            help="holds the PSK in hex")
    parser.add_argument("--responder",
                        help="whom Alice calls: Bob (default) or his group")
    parser.add_argument("--suites", type=suite_list, default=[256, 128],
                        help="suites the KMS allows, default 256,128")
    parser.add_argument("--validity", type=int, default=3600,
                        help="seconds a ticket is wished to be valid")
    parser.add_argument("--fuzz", type=int, default=200,
                        help="damaged messages of each kind")
    parser.add_argument("--seed", type=int, default=6043)
    parser.add_argument("--timeout", type=float, default=10)
    return parser.parse_args()


def main():
    options = parse_options()
    return Cases(World(options), options).run()


if __name__ == "__main__":
    sys.exit(main())
