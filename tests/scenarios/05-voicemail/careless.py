#!/usr/bin/env python3
"""A device that shows the KMS any ticket, whether it has ended or not. It must be refused.

careless.py SOURCE ACCOUNT OFFER.sdp    exit status 0: refused with Error 14, invalid ticket
"""
import base64
import json
import re
import sys
from pathlib import Path

source, account, offer = sys.argv[1:]
sys.path.insert(0, f"{source}/tests/peer")
import mikey_ticket as mt  # noqa: E402
from run_against_kms import Server, expect_error  # noqa: E402

facts = json.loads(Path(account).read_text())
psk = bytes.fromhex(Path(facts["psk_file"]).read_text().strip())
user, suite = mt.Credential(facts["identity"], facts["psk_id"], psk), mt.SUITES[256]
transfer = base64.b64decode(re.search(r"a=key-mgmt:mikey (\S+)", Path(offer).read_text())[1])
ticket = mt.Message.decode(transfer).need(mt.Ticket)
resolve = mt.build_resolve_init(suite, user, facts["kms"], ticket)
reply = Server(facts["url"], 10).post(resolve)
print(expect_error(reply, suite, user, resolve, {mt.ERR_TICKET}, status=403, v=True))
