#!/usr/bin/env python3
"""A ceremony that is no rehearsal, with a software TPM, up to where it is refused.
ceremony_tpm.py TBS-CEREMONY SCRIPT SITE FOLDER; exit status: 0 it is refused, 1 not."""
import datetime
import sys

from ceremony_room import Room, USUAL

room = Room(sys.argv[1], "run", "--script", sys.argv[2], "--site", sys.argv[3], sys.argv[4])
now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
status = room.talk([(r"\(([\w-]+)\): your name, or 'absent': $", lambda m: m[1]),
                    (r"The time in UTC[^\n]*: $", now), *USUAL])
if status != 7 or "waive the rule swtpm for token T" not in " ".join(room.seen.split()):
    sys.exit(f"status {status}: {room.seen[-600:]}")
