#!/usr/bin/env python3
"""The independent peer calls, and is called by, the user agent tbs: both come to the same keys.

run_against_tbs.py TBS URL FOLDER

FOLDER holds alice.psk and bob.psk, keys of sip:alice@example.net (alice-1) and
sip:bob@example.net (bob-1) at the KMS sip:kms@example.net. Exit status: 0 all is well, 1 not.
"""
import base64
import json
import os
import subprocess
import sys
import time
from itertools import product

import mikey_ticket as mt
from run_against_kms import Server, expect_ok

KMS = "sip:kms@example.net"
SDP = ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
       "m=audio 4000 RTP/SAVP 96\r\na=rtpmap:96 L16/16000\r\n")
# What tbs takes for --key, and what the peer wishes
KEYS = {"tgk": mt.TGK, "tek+salt": mt.TEK_SALT, "gtgk": mt.GTGK, "tgk+salt": mt.TGK_SALT,
        "none": None}  # RFC 6043 8: an end supplies them
PROTOCOLS = {"srtp": mt.PROT_SRTP, "tls": mt.PROT_TLS, "cms": mt.PROT_CMS}
PROFILE = {256: "AES_256_CM_HMAC_SHA1_80", 128: "AES_CM_128_HMAC_SHA1_80"}


class Call:
    """One run, in a folder of its own."""

    def __init__(self, tbs, url, folder, suite, forking, key, protocol):
        self.tbs, self.url, self.suite, self.forking, self.key = tbs, url, suite, forking, key
        self.protocol, self.csb_id = protocol, None
        self.name = f"{suite.bits} {'forking' if forking else 'plain'} {key} {protocol}"
        self.folder = os.path.join(folder, self.name.replace(" ", "-"))
        os.mkdir(self.folder)
        self.server = Server(url, 10)
        self.users = {}
        for name in ("alice", "bob"):
            psk_file = os.path.join(folder, f"{name}.psk")
            with open(psk_file, encoding="ascii") as file:
                psk = bytes.fromhex(file.read())
            self.users[name] = mt.Credential(f"sip:{name}@example.net", f"{name}-1", psk)
            with open(self.path(f"{name}.json"), "w", encoding="utf-8") as file:
                json.dump({"url": url, "kms": KMS, "identity": f"sip:{name}@example.net",
                           "psk_id": f"{name}-1", "psk_file": psk_file,
                           "suite": str(suite.bits)}, file)
        self.write("my.sdp", SDP.encode())

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, octets):
        with open(self.path(name), "wb") as file:
            file.write(octets)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def run(self, *words):
        done = subprocess.run([self.tbs, *words], cwd=self.folder, capture_output=True, text=True,
                              timeout=60)
        if done.returncode != 0:
            raise mt.MikeyError(f"tbs {words[0]}: exit {done.returncode}: {done.stderr.strip()}")

    def refused(self, *words, why=""):
        done = subprocess.run([self.tbs, *words], cwd=self.folder, capture_output=True, text=True,
                              timeout=60)
        mt.require(done.returncode == 3 and why in done.stderr,
                   f"tbs {words[0]}: exit {done.returncode}, not 3 with '{why}': "
                   f"{done.stderr.strip()}")

    def request_options(self):
        return (["--key", self.key, "--initiator-keys", "--responder-keys"]
                + ([] if self.forking else ["--no-forking"]))

    def ask(self, user, init, opener):
        return opener(self.suite, user, init, expect_ok(self.server.post(init)))

    def compare(self, session, keys_file):
        """The peer's traffic keys and those that tbs wrote."""
        if self.protocol != "srtp":
            name, key = self.read(keys_file).decode().lower().strip().split(":")
            csb_id, cs_id, spi = map(bytes.fromhex, name.split("."))
            mt.require((csb_id, cs_id) == (self.csb_id.to_bytes(4, "big"), b"\1"), name)
            mt.require(bytes.fromhex(key) == session.traffic[1][spi][1], "another key")
            return
        found = json.loads(self.read(keys_file))["crypto_sessions"]
        mt.require(len(found) == len(session.traffic), f"{len(found)} crypto sessions")
        for cs in found:
            mt.require(cs["srtp"] == PROFILE[self.suite.bits], cs["srtp"])
            _, key, salt = session.traffic[cs["cs_id"]][bytes.fromhex(cs["mki"])]
            mt.require(bytes.fromhex(cs["master_key"]) == key, f"CS {cs['cs_id']}: another key")
            mt.require(bytes.fromhex(cs["master_salt"]) == salt, f"CS {cs['cs_id']}: another salt")

    # tbs calls the peer

    def tbs_calls(self):
        self.run("request", "--account", "alice.json", "--to", "sip:bob@example.net",
                 "--out", "call.ticket", *self.request_options())
        # Without keys in the ticket: by each end in turn; the Initiator's are of a file.
        by_tbs = ["--key-file", self.key_file()] if self.key == "none" and self.forking else []
        own = [self.own_key(mt.TEK_SALT)] if self.key == "none" and not self.forking else []
        self.run("offer", "--ticket", "call.ticket", "--to", "sip:bob@example.net",
                 "--sdp", "my.sdp", "--out", "offer.sdp", "--protocol", self.protocol, *by_tbs)
        init = message_of(self.read("offer.sdp"))
        self.csb_id = mt.Message.decode(init).hdr.csb_id
        check_sdp_ids(init)
        bob = self.users["bob"]
        resolve = mt.build_resolve_init(self.suite, bob, KMS,
                                        mt.Message.decode(init).need(mt.Ticket))
        resolved = self.ask(bob, resolve, mt.open_resolve_resp)
        resp = mt.build_transfer_resp(resolved, init, own=own)
        self.write("answer.sdp", with_message(resp))
        self.downgraded(["finish", "--ticket", "call.ticket", "--offer", "offer.sdp",
                         "--keys", "none"], "--answer", with_message(resp))
        self.run("finish", "--ticket", "call.ticket", "--offer", "offer.sdp",
                 "--answer", "answer.sdp", "--keys", "alice.keys", "--session", "alice.session")
        self.compare(mt.responder_session(resolved, init, resp), "alice.keys")
        self.updates("alice", mt.INITIATOR, mt.responder_bundle(resolved, init, resp))

    def downgraded(self, words, option, sdp):
        """RFC 4567 8: what came is refused as soon as somebody made it less secure."""
        crypto = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + base64.b64encode(bytes(30))
        for old, new, why in (
                (b"RTP/SAVP", b"RTP/AVP", "as RTP/AVP"),
                (b"a=rtpmap", crypto + b"\r\na=rtpmap", "a=crypto"),
                (b"a=rtpmap", b"a=fingerprint:sha-256 00:11\r\na=rtpmap", "DTLS"),
                (b"a=rtpmap", b"a=key-mgmt:keyp1 abcd\r\na=rtpmap", "override")):
            self.write("weaker.sdp", sdp.replace(old, new))
            self.refused(*words, option, "weaker.sdp", why=why)

    # CSB updates (RFC 6043 5.2) with `name` at tbs, in the role `role`

    def updates(self, name, role, bundle):
        if self.key not in ("tgk", "none"):  # the ticket's kind of key makes no difference
            return
        self.update_by_tbs(name, role, bundle)
        self.update_by_peer(name, role, bundle)
        self.run("update", "--session", f"{name}.session", "--key", "gtgk", "--out", "lost.mikey")
        self.update_by_peer(name, role, bundle, supply=False)

    def update_by_tbs(self, name, role, bundle):
        """A new TGK by tbs, in SDP, and a TEK for each by the peer's answer."""
        session, peer = f"{name}.session", mt.other(role)
        for n, own in enumerate(([], [self.own_key(mt.TEK_SALT), self.own_key(mt.TEK_SALT)])):
            self.run("update", "--session", session, "--key", "tgk", "--sdp", "my.sdp",
                     "--out", f"{name}-re{n}.sdp")
            init = message_of(self.read(f"{name}-re{n}.sdp"))
            check_sdp_ids(init)
            resp = mt.build_update_resp(bundle, peer, init, own)
            self.write(f"{name}-re{n}-answer.sdp", with_message(resp))
            words = ("update-finish", "--session", session, "--update", f"{name}-re{n}.sdp",
                     "--answer", f"{name}-re{n}-answer.sdp", "--keys")
            self.run(*words, f"{name}-re{n}.keys")
            self.compare(bundle.session(), f"{name}-re{n}.keys")

    def update_by_peer(self, name, role, bundle, supply=True):
        session, peer = f"{name}.session", mt.other(role)
        files = f"{name}-by-peer" if supply else f"{name}-without"
        keys = [self.own_key(mt.TGK)] if supply else []
        init = mt.build_update(bundle, peer, keys)
        self.write(f"{files}.sdp", with_message(init))
        self.write("other-rand.mikey", mt.build_update(
            bundle, peer, extra=[mt.Randr(mt.INITIATOR, os.urandom(32))]))
        self.write(f"{files}.mikey", init)
        answer = ("update-answer", "--session", session, "--update", f"{files}.mikey", "--out",
                  f"{files}-answer.mikey", "--keys")
        self.run(*answer, f"{files}.keys")
        mt.accept_update_resp(bundle, peer, init, self.read(f"{files}-answer.mikey"))
        self.compare(bundle.session(), f"{files}.keys")
        self.refused(*answer, "again.keys", why="not later")
        # 5.2: no new RAND, even under the right MAC; one's own message, sent back
        done = subprocess.run([self.tbs, "update-answer", "--session", session, "--update",
                               "other-rand.mikey", "--out", "none", "--keys", "none"],
                              cwd=self.folder, capture_output=True, text=True, timeout=60)
        mt.require(done.returncode == 1 and "new RAND" in done.stderr, f"new RAND: {done.stderr}")
        self.run("update", "--session", session, "--out", f"{files}-back.mikey")
        self.refused("update-answer", "--session", session, "--update", f"{files}-back.mikey",
                     "--out", "none", "--keys", "none", why="sent it back")

    def key_file(self):
        """Two TEKs, as of content that is encrypted already."""
        self.teks = [os.urandom(self.suite.key_len).hex() for _ in range(2)]
        self.write("own.keys", json.dumps({"keys": [
            {"type": "tek", "key": key, "salt": os.urandom(14).hex(), "spi": f"f11{n:05}"}
            for n, key in enumerate(self.teks)]}).encode())
        os.chmod(self.path("own.keys"), 0o600)
        return "own.keys"

    def own_key(self, key_type):
        return mt.new_key(key_type, self.suite.key_len)

    # The peer calls tbs

    def peer_calls(self):
        alice = self.users["alice"]
        flags = "DEFGHILM" if self.forking else "DEFGHLM"
        now = int(time.time())
        policy = mt.wished_policy(
            self.suite, flags, alice.identity, ["sip:bob@example.net"], now - 1, now + 3600,
            None if self.key == "none" else
            [mt.wished_key(KEYS[self.key], self.suite.key_len, b"\0\0\0\1")])
        grant = self.ask(alice, mt.build_request_init(self.suite, alice, KMS, policy),
                         mt.open_request_resp)
        own = [self.own_key(mt.GTGK)] if self.key == "none" and not self.forking else []
        prot = PROTOCOLS[self.protocol]
        ids, policies = ((1, 2), None) if prot == mt.PROT_SRTP else ((1,), [mt.Sp(0, prot, ())])
        init = mt.build_transfer_init(
            grant, alice.identity, "sip:bob@example.net", policies=policies, own=own,
            sessions=[mt.CryptoSession(i, prot, policies=(0,)) for i in ids])
        self.csb_id = mt.Message.decode(init).hdr.csb_id
        self.write("offer.mikey", init)
        self.downgraded(["resolve", "--account", "bob.json", "--out", "none"], "--offer",
                        with_message(init))
        self.run("resolve", "--account", "bob.json", "--offer", "offer.mikey",
                 "--out", "call.resolved", "--protocol", self.protocol)
        by_tbs = ["--key-file", self.key_file()] if self.key == "none" and self.forking else []
        self.run("answer", "--account", "bob.json", "--offer", "offer.mikey",
                 "--protocol", self.protocol,
                 "--resolved", "call.resolved", "--out", "answer.mikey", "--keys", "bob.keys",
                 "--session", "bob.session", "--ssrc", "2=cafe0001", *by_tbs)
        if self.protocol == "srtp":
            chosen = [cs["ssrc"] for cs in json.loads(self.read("bob.keys"))["crypto_sessions"]]
            mt.require(chosen[1] == "0xcafe0001" != chosen[0], f"SSRCs {chosen}")
        if by_tbs:
            keys = json.loads(self.read("bob.keys"))["crypto_sessions"]
            mt.require([cs["master_key"].lower() for cs in keys] == self.teks, "not the TEKs of the file")
        resp = self.read("answer.mikey")
        self.compare(mt.accept_transfer_resp(grant, init, resp), "bob.keys")
        self.updates("bob", mt.RESPONDER, mt.initiator_bundle(grant, init, resp))


def encode(octets):
    return base64.b64encode(octets).decode()


def with_message(message):
    return SDP.replace("m=", f"a=key-mgmt:mikey {encode(message)}\r\nm=").encode()


def message_of(sdp):
    lines = [line for line in sdp.decode().split("\r\n") if line.startswith("a=key-mgmt:mikey ")]
    mt.require(len(lines) == 1, f"{len(lines)} key-mgmt lines")
    mt.require(sdp.index(b"a=key-mgmt") < sdp.index(b"m="), "key-mgmt not at session level")
    return base64.b64decode(lines[0].split(" ")[1], validate=True)


def check_sdp_ids(init):
    """RFC 4567 4.1.4, RFC 3830 6.15."""
    ext = mt.Message.decode(init).need(mt.GeneralExt)
    mt.require(ext == mt.GeneralExt(1, b"mikey"), f"SDP IDs: {ext}")


def main():
    tbs, url, folder = os.path.abspath(sys.argv[1]), *sys.argv[2:]
    passed = failed = 0
    for bits, forking, key, protocol in product((256, 128), (True, False), KEYS, PROTOCOLS):
        if protocol != "srtp" and (bits, key) not in ((256, "tgk"), (128, "tek+salt")):
            continue  # the session keys come about as for SRTP
        call = Call(tbs, url, folder, mt.SUITES[bits], forking, key, protocol)
        for direction in (call.tbs_calls, call.peer_calls):
            try:
                direction()
                passed += 1
            except (mt.MikeyError, OSError, KeyError) as problem:
                failed += 1
                print(f"FAIL {call.name}, {direction.__name__}: {problem!r}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
