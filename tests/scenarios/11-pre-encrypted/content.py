#!/usr/bin/env python3
"""The key of content that is encrypted once, in two forms.

content.py SESSION.keys SUPPLY.json    new files: for tbs-media(1), which encrypts with it, and for
                                       tbs answer --key-file, which hands it to who may watch
"""
import json
import os
import secrets
import sys

KEY, SALT, SPI, SSRC = (secrets.token_hex(n) for n in (32, 14, 4, 4))


def write(path, content):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)


# CS ID 2 is what the Responder sends; 1 gets a random key that nobody uses.
write(sys.argv[1], {"csb_id": "0x00000000", "peer": "sip:library@content.example.net", "crypto_sessions": [
    {"cs_id": 2, "srtp": "AES_256_CM_HMAC_SHA1_80", "ssrc": f"0x{SSRC}", "master_key": KEY,
     "master_salt": SALT, "mki": SPI}]})
write(sys.argv[2], {"keys": [{"type": "tek"},
                             {"type": "tek", "key": KEY, "salt": SALT, "spi": SPI}]})
print(SSRC)
