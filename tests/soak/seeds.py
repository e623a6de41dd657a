#!/usr/bin/python3
"""Writes the messages that the soak begins with: usage: seeds.py URL DIRECTORY

Alice and Bob of DIRECTORY (alice.psk, bob.psk) run through exchanges with the KMS at URL, in
both suites, with many wishes. What they sent and got is written to DIRECTORY/*.mikey.
"""
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peer"))
import mikey_ticket as mt  # noqa: E402
import run_against_kms as kms  # noqa: E402

TEAM = "sip:team@example.net"
FORKING = kms.BASE_FLAGS + "I"
WISHES = {
    "tgk": {},
    "forking": {"flags": FORKING},
    "all-keys": {"flags": FORKING, "key_types": mt.SESSION_KEY_TYPES, "key_len": 16},
    "no-wish": {"flags": "DEFGH", "key_types": ()},
}


def world(url, folder):
    users = {}
    for name in ("alice", "bob"):
        users |= {name: f"sip:{name}@example.net", f"{name}_psk_id": f"{name}-1",
                  f"{name}_psk_file": folder / f"{name}.psk"}
    return kms.World(SimpleNamespace(url=url, timeout=10, kms_id="sip:kms@example.net",
                                     mallory=None, responder=None, validity=80000, **users))


def exchanges(place, wish):
    """The six messages of a call."""
    init = place.request_init(wish)
    answer = place.server.post(init)
    grant = place.accept_grant(wish, init, answer)
    transfer = place.transfer_init(grant)
    ticket = mt.Message.decode(transfer).need(mt.Ticket)
    resolve = place.resolve_init(wish.suite, ticket)
    keys = kms.expect_ok(place.server.post(resolve))
    resolved = mt.open_resolve_resp(wish.suite, place.bob, resolve, keys)
    return {"request-init": init, "request-resp": answer.body, "transfer-init": transfer,
            "resolve-init": resolve, "resolve-resp": keys,
            "transfer-resp": mt.build_transfer_resp(resolved, transfer)}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = Path(sys.argv[2])
    place = world(sys.argv[1], folder)
    for responder in (place.bob.identity, TEAM):
        place.responder = responder
        for suite in mt.SUITES.values():
            for name, wish in WISHES.items():
                for kind, raw in exchanges(place, kms.Wish(suite, **wish)).items():
                    # The KMS reads only its own two in depth: one call of the others is enough.
                    if kind.endswith("-init") and not kind.startswith("transfer") or (
                            name == "forking" and responder != TEAM):
                        to = "team" if responder == TEAM else "bob"
                        (folder / f"{kind}-{suite.bits}-{name}-{to}.mikey").write_bytes(raw)


if __name__ == "__main__":
    main()
