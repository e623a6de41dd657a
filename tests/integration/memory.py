#!/usr/bin/env python3
"""Looks into the memory of an idle tbs-kmsd for secrets that its traffic has used.

The token runs in another process (p11-kit's server, or swtpm). This script acts as Alice and Bob through
the independent peer, so it knows PSKs, MPKs, session keys and the keys of each message; it
decrypts the SoftHSM token's own files with the PIN, or reads what swtpm_keys.py found, so it knows
TPKs and KEK, and from them the keys of each ticket. None of these octets may be in the daemon afterwards.
"""
import glob
import hashlib
import http.client
import os
import re
import struct
import sys
import time

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "peer"))
import mikey_ticket as mt  # noqa: E402

CKA_CLASS, CKA_VALUE, CKA_ID = 0x000, 0x011, 0x102
CKA_OS_USERPIN = 0x80000000 + 0x5348 + 5  # SoftHSM's own
CKO_SECRET_KEY = 4


def attributes(path):
    """The attributes of a SoftHSM object file: type -> ulong, bool or octets."""
    data, pos, out = open(path, "rb").read(), 8, {}
    while pos < len(data):
        kind, form = struct.unpack_from(">QQ", data, pos)
        pos += 16
        if form == 1:
            out[kind] = data[pos]
            pos += 1
        elif form == 2:
            out[kind] = struct.unpack_from(">Q", data, pos)[0]
            pos += 8
        else:  # octets, mechanism sets: length first
            n = struct.unpack_from(">Q", data, pos)[0]
            n = n * 8 if form == 5 else n
            out[kind] = data[pos + 8:pos + 8 + n]
            pos += 8 + n
    return out


def unpad_cbc(key, iv, data):
    plain = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor().update(data)
    return plain[:-plain[-1]]


def token_key(token, pin):
    """SoftHSM's key over its objects: a PBE of the user PIN (RFC 4880 style) opens it."""
    blob = attributes(os.path.join(token, "token.object"))[CKA_OS_USERPIN]
    salt, iv, data = blob[:8], blob[8:24], blob[24:]
    key = hashlib.sha256(salt + pin).digest()
    for _ in range(1500 + salt[-1] - 1):
        key = hashlib.sha256(key).digest()
    plain = unpad_cbc(key, iv, data)
    assert plain[:3] == b"RJR", "the PIN does not open the token's files"
    return plain[3:35]


def token_secrets(token, pin):
    """id -> octets of each secret key in the token."""
    key, out = token_key(token, pin), {}
    for path in glob.glob(os.path.join(token, "*.object")):
        a = attributes(path)
        if a.get(CKA_CLASS) == CKO_SECRET_KEY:
            ident = a[CKA_ID]
            ident = unpad_cbc(key, ident[:16], ident[16:]) if len(ident) % 16 == 0 else ident
            value = a[CKA_VALUE]
            out[ident.decode()] = unpad_cbc(key, value[:16], value[16:])
    return out


def told_secrets(path):
    """The same from a file of lines "ID HEX"."""
    with open(path, encoding="ascii") as lines:
        return {ident: bytes.fromhex(octets) for ident, octets in map(str.split, lines)}


def regions(pid):
    """(name, octets) of every readable mapping."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+\s*(.*)", line)
            if not m or m[3] in ("[vvar]", "[vsyscall]"):
                continue
            begin, end = int(m[1], 16), int(m[2], 16)
            try:
                mem.seek(begin)
                yield m[3] or "anonymous", begin, mem.read(end - begin)
            except OSError:
                continue


def search(pid, secrets):
    found = []
    for name, begin, data in regions(pid):
        for what, octets in secrets.items():
            at = data.find(octets)
            while at >= 0:
                found.append(f"{what} at {begin + at:x} in {name}")
                at = data.find(octets, at + 1)
    return found


class Secrets(dict):
    def add(self, what, octets):
        if len(octets) >= 12:  # shorter ones are found by chance
            self[f"{what} #{len(self)}"] = octets

    def add_message_keys(self, what, keys):
        suite = keys.suite
        self.add(f"{what} auth_key", keys.derive(mt.AUTH_KEY, suite.auth_len))
        self.add(f"{what} encr_key", keys.derive(mt.ENCR_KEY, suite.key_len))
        self.add(f"{what} salt_key", keys.derive(mt.SALT_KEY, mt.SALT_LEN))


def post(host, body):
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("POST", "/mikey", body, {"Content-Type": "application/mikey"})
    response = connection.getresponse()
    data = response.read()
    assert response.status == 200, f"HTTP {response.status}"
    connection.close()
    return data


def note_exchange(secrets, suite, user, init_raw, resp_raw, what):
    init, resp = mt.Message.decode(init_raw), mt.Message.decode(resp_raw)
    for kind, name in ((mt.LABEL_INIT, "init"), (mt.LABEL_RESP, "resp")):
        keys = mt.message_keys(suite, user.psk, init.hdr.csb_id, kind,
                               *mt.exchange_rands(init))
        secrets.add_message_keys(f"{what} {name}", keys)
    opened = keys.open(resp.need(mt.T), resp.need(mt.Kemac))
    for key in opened:
        secrets.add(f"{what} {key.name()}", key.key)


def note_ticket(secrets, suite, ticket, tpks):
    for name, tpk in tpks.items():
        try:
            opened = mt.open_ticket(suite, ticket, tpk)
        except mt.MikeyError:
            continue
        secrets.add("MPK", opened.mpk)
        for key in opened.keys:
            secrets.add(f"ticket {key.name()}", key.key)
        secrets.add_message_keys("ticket", mt.ticket_keys(suite, tpk, opened.rand))
        mpki, mpkr = mt.derive_mpks(suite, opened.mpk, opened.rand)
        secrets.add("MPKi", mpki)
        secrets.add("MPKr", mpkr)
        return name
    raise SystemExit("no TPK of the token opens the ticket")


def call(secrets, host, kms, alice, bob, tpks, suite):
    """One ticket with forking: requested by Alice, resolved by Bob."""
    now = time.time()
    keys = [mt.wished_key(t, suite.key_len, bytes(4)) for t in (mt.TGK, mt.TEK, mt.GTGK)]
    policy = mt.wished_policy(suite, "DEFGHIJNO", alice.identity, [bob.identity], now,
                              now + 600, keys)
    init = mt.build_request_init(suite, alice, kms, policy)
    resp = post(host, init)
    grant = mt.open_request_resp(suite, alice, init, resp)
    note_exchange(secrets, suite, alice, init, resp, "REQUEST")
    note_ticket(secrets, suite, grant.ticket, tpks)
    transfer = mt.build_transfer_init(grant, alice.identity, bob.identity)
    ticket = mt.Message.decode(transfer).need(mt.Ticket)
    init = mt.build_resolve_init(suite, bob, kms, ticket)
    note_exchange(secrets, suite, bob, init, post(host, init), "RESOLVE")


def main():
    host, pid, kms, token, pin_file, *credentials = sys.argv[1:]
    users = []
    for text in credentials:
        identity, psk_id, file = text.split("=")
        users.append(mt.Credential(identity, psk_id, bytes.fromhex(open(file).read())))
    alice, bob = users
    pin = open(pin_file, "rb").read().strip()
    held = token_secrets(token, pin) if os.path.isdir(token) else told_secrets(token)
    assert len(held) == 3, f"three keys in the token, not {sorted(held)}"
    tpks = {name: key for name, key in held.items() if name.startswith("tpk")}
    secrets = Secrets()
    if os.path.isdir(token):  # a TPM's PIN proves each command
        secrets.add("PIN", pin)
    for name, key in held.items():
        secrets.add(name, key)
    secrets.add("Alice's PSK", alice.psk)
    secrets.add("Bob's PSK", bob.psk)
    for _ in range(10):
        for suite in mt.SUITES.values():
            call(secrets, host, kms, alice, bob, tpks, suite)
    time.sleep(0.5)
    # A search that finds nothing proves something only when it can find.
    if not search(pid, {"the KMS's identity": kms.encode()}):
        raise SystemExit("FAIL the search does not even find the KMS's identity")
    found = search(pid, secrets)
    for line in found:
        print("FAIL", line)
    print(f"{len(secrets)} secrets searched in {sum(1 for _ in regions(pid))} mappings of "
          f"tbs-kmsd, {len(found)} found")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
