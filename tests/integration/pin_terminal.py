#!/usr/bin/env python3
"""tbs-admin pin at a terminal: a PIN typed twice, the passphrase of the operators' key, and the PIN of a
ceremony rebuilt from its custodians' shares, with which its token then opens. Nothing secret is shown.
pin_terminal.py TBS-ADMIN TBS-CEREMONY; exit status 0: all is well."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from ceremony_room import PASSPHRASE, SECRETS, Room, check
from ceremony_shares import SCRIPT

PIN = "typed-by-hand-2741"
KEY_ASKS = (r"passphrase of [^\n]*: $", PASSPHRASE)


def run(*argv, **settings):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, **settings)
    check(done.returncode == 0, f"{argv}: {done.stdout[-500:]}{done.stderr[-900:]}")
    return done.stdout


def start_tpm(folder):
    """Alone, without a resource manager."""
    path = os.path.join(folder, "tpm")
    os.mkdir(f"{path}-state")
    tpm = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={path}-state", "--flags",
                            "not-need-init,startup-clear", "--server", f"type=unixio,path={path}",
                            "--ctrl", f"type=unixio,path={path}.ctrl"], stderr=subprocess.DEVNULL)
    for _ in range(100):
        if os.path.exists(path):
            return tpm, f"swtpm:path={path}"
        time.sleep(0.05)
    sys.exit("swtpm does not start")


def edit(config, **values):
    with open(config, encoding="utf-8") as file:
        text = file.read()
    for key, value in values.items():
        text = re.sub(rf"^  {key}: .*$", f"  {key}: {value}", text, flags=re.M)
    with open(config, "w", encoding="utf-8") as file:
        file.write(text)


def typed(admin, folder):
    seal = [*admin, "pin", "seal", "--sign", f"{folder}/operators.pem"]
    room = Room(*seal)
    status = room.talk([KEY_ASKS, (r"PIN: $", PIN), (r"PIN once more: $", PIN + "x")])
    check(status == 1 and "that is another PIN" in room.seen, f"two PINs: {status}: {room.seen}")
    room = Room(*seal)
    status = room.talk([(r"passphrase of [^\n]*: $", "not " + PASSPHRASE)])
    check(status == 1 and "this is not its passphrase" in room.seen, f"{status}: {room.seen}")
    check(not os.path.exists(f"{folder}/kms/user.sealed"), "a file was written all the same")
    room = Room(*seal)
    status = room.talk([KEY_ASKS, (r"PIN(?: once more)?: $", PIN)])
    check(status == 0, f"a PIN that is typed: {status}: {room.seen}")
    run(*admin, "pin", "test")


def rebuilt(admin, ceremony, folder):
    with open(f"{folder}/script.yaml", "w", encoding="utf-8") as file:
        file.write(SCRIPT)
    run(ceremony, "run", "--rehearse", "--answers", "auto", "--script", f"{folder}/script.yaml",
        f"{folder}/ceremony")
    tokens = f"{folder}/ceremony/rehearsal/tokens"
    shares = []
    # The last step gave the token another set.
    names = sorted(glob.glob(f"{tokens}/A.set-*.share-*"), key=lambda name: os.stat(name).st_mtime_ns)
    check(len(names) == 6, f"two sets: {names}")
    for name in sorted(names[3:]):
        with open(name, encoding="ascii") as file:
            shares.append(file.read().strip())
    check(len(shares) == 3, f"three shares: {shares}")
    words = shares[0].split()
    words[7] = "acid" if words[7] != "acid" else "acne"
    garbled = " ".join(words)
    SECRETS.extend([*shares, garbled])

    first = r"a custodian's share: $"
    another = r"another custodian's share \(2 of 2\): $"
    room = Room(*admin, "pin", "seal", "--sign", f"{folder}/operators.pem", "--pin-source", "shares")
    status = room.talk([KEY_ASKS], [(first, garbled), (first, shares[0]), (another, shares[0]),
                                    (another, shares[2])])
    said = re.sub(r"\s+", " ", room.seen)
    check(status == 0, f"two shares: {status}: {said[-600:]}")
    check(said.count("Not taken: ") == 2 and "share 1 is there already" in said, said)
    check(not any(share in room.seen for share in [*shares, garbled]), "a share was shown")

    edit(f"{folder}/kms/tbs-kmsd.yaml", uri='"pkcs11:token=tbs-A"',
         environment=f'["SOFTHSM2_CONF={tokens}/softhsm2.conf"]')
    said = run(*admin, "status")
    check(re.search(r"^token +degraded: no token that is up", said, re.M), f"it does not open: {said}")


def perform(admin, ceremony, folder):
    tpm, tcti = start_tpm(folder)
    try:
        run(admin, "init", f"{folder}/kms")
        config = f"{folder}/kms/tbs-kmsd.yaml"
        edit(config, pin=f"tpm:{folder}/kms/user.sealed\n  tcti: {tcti}")
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256",
            "-pass", f"pass:{PASSPHRASE}", "-out", f"{folder}/operators.pem")
        os.chmod(f"{folder}/operators.pem", 0o600)
        SECRETS.extend([PIN, PIN + "x", "not " + PASSPHRASE])
        typed([admin, "-c", config], folder)
        rebuilt([admin, "-c", config], ceremony, folder)
    finally:
        tpm.kill()
        tpm.wait()


def main():
    if not shutil.which("swtpm"):
        print("swtpm is not installed")
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix="tbs-test.")
    try:
        perform(*map(os.path.abspath, sys.argv[1:3]), folder)
    finally:
        shutil.rmtree(folder)
    print("all is well")


if __name__ == "__main__":
    main()
