#!/usr/bin/env bash
# The outage matrix with a TPM: a daemon under load (see load.c) whose TPM fails in one way after
# another: alone with a software TPM, through mock-tpm, and behind a resource manager.
set -euo pipefail
admin=$1 kmsd=$2 mock=$3 load=$4
seconds=$5 settle=$6 # of each outage; how long a recovery is watched
rate=$7 rounds=$8    # messages a second; how often all outages come
session_recovery_ms=$9 # where a session protects the bus
hang_seconds=4       # more than what the custody core takes for hanging
workers=8
slow_ms=350          # each command of a slow TPM; with all workers waiting, more than that
here=$(dirname "$0")
for program in swtpm tpm2-abrmd dbus-daemon tpm2_getcap; do
    command -v $program >/dev/null || { echo "skipped: $program is missing"; exit 77; }
done
. "$here/../integration/daemon.sh"
. "$here/../../tools/software_tpm.sh"
. "$here/rows.sh"
tpm=$dir/tpm script=$dir/tpm.script
end() {
    daemon_stop
    software_tpm_stop
    [ -z "${mock_pid:-}" ] || kill "$mock_pid" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT

# tpm2-tss 3.2 forgets a copy of the path when nobody listens there. It unloads its library, whose
# name a leak then lacks; here it stays.
echo "leak:libtss2-tcti-swtpm" >"$dir/known.leaks"
cat >"$dir/kmsd" <<END
#!/bin/sh
export LD_PRELOAD=libtss2-tcti-swtpm.so.0 LSAN_OPTIONS=suppressions=$dir/known.leaks
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
exec "$kmsd" "\$@"
END
chmod +x "$dir/kmsd"
kmsd=$dir/kmsd

mock_script() { # the rules on stdin; they hold from the next command on
    cat >"$script.new"
    mv "$script.new" "$script"
}

# --- Rows ---

outage() { # the row's name; what the script is meanwhile on stdin
    begin "$1"
    mock_script
    sleep "$seconds"
    mock_script </dev/null
    over
}

happens() { # the row's name, what begins the outage, what ends it
    begin "$1"
    $2
    sleep "$seconds"
    $3
    over
}

happens_again_and_again() { # the row's name, what
    begin "$1"
    for _ in $(seq 5); do
        $2
        sleep 0.2
    done
    over
}

# As a power cut: CMD_INIT of swtpm's control channel, without flags.
tpm_reset() {
    /usr/bin/python3 - "$tpm/socket.ctrl" <<'END'
import socket, sys
with socket.socket(socket.AF_UNIX) as control:
    control.connect(sys.argv[1])
    control.sendall(bytes([0, 0, 0, 2, 0, 0, 0, 0]))
    assert control.recv(4) == bytes(4)
END
}

daemon_with_tpm() { # TCTI
    daemon_init --token tpm --tcti "$1"
    subscriber alice
    subscriber bob
    sed -i "s/^server:/&\n  workers: $workers\n  grace_s: 2/" "$kms/tbs-kmsd.yaml"
}

# --- Alone with the TPM, without and with a session that protects the bus ---

tpm_kill() { software_tpm_kill swtpm; }
tpm_start() { software_tpm_swtpm "$tpm"; }

happen_both_ways() {
    happens_again_and_again "TPM reset, nobody starts it up" tpm_reset
    happens "TPM killed and started again" tpm_kill tpm_start
    outage "every 20th answer is lost" <<<"cut * every 20"
    outage "every 20th answer is garbled" <<<"garble * every 20"
}

all_outages() {
    happen_both_ways
    outage "every 20th command: FAILURE" <<<"fail * FAILURE every 20"
    outage "every 20th command: NV_RATE" <<<"fail * NV_RATE every 20"
    outage "every command: RETRY" <<<"fail * RETRY"
    outage "every command: YIELDED" <<<"fail * YIELDED"
    outage "every command: TESTING" <<<"fail * TESTING"
    outage "no room for objects" <<<"fail Load OBJECT_MEMORY"
    outage "every MAC: FAILURE" <<<"fail HMAC FAILURE"
    outage "every MAC: LOCKOUT" <<<"fail HMAC LOCKOUT"
    seconds=$hang_seconds outage "every command: LOCKOUT" <<<"fail * LOCKOUT"
    seconds=$hang_seconds outage "MACs hang" <<<"hang HMAC"
    seconds=$hang_seconds outage "all commands hang" <<<"hang *"
    slow_tpm
}

slow_tpm() { # is not taken for one that hangs
    begin "all commands slow"
    mock_script <<<"delay * $slow_ms"
    sleep $hang_seconds
    curl -sSf "$management/readyz" >"$dir/ready" || wrong "a slow TPM counts as down"
    mock_script </dev/null
    over
}

mkdir -m 700 "$tpm"
tpm_start
mock_script </dev/null
"$mock" "$tpm/mock" "$tpm/socket" "$script" &
mock_pid=$!
ln -s socket.ctrl "$tpm/mock.ctrl"
software_tpm_file "$tpm/mock"
daemon_with_tpm "swtpm:path=$tpm/mock"
sed -i 's/^custody:/&\n  plain_bus: true/' "$kms/tbs-kmsd.yaml"

tpm_kill
daemon_start
await_ready 503
load_start
tell head
echo "$said"
happens "no TPM at the start" true tpm_start
await_ready 200
measure
at_first=$most
for _ in $(seq "$rounds"); do
    all_outages
    measure
done
no_more_descriptors
load_stop
stops 0

echo "Stopped while all commands hang"
daemon_start
mock_script <<<"hang *"
kill -HUP "$kmsd_pid" # has the token examined
sleep 0.5
stops 1
mock_script </dev/null

echo "With a session"
sed -i '/plain_bus/d' "$kms/tbs-kmsd.yaml"
rate=4 callers=2 recovery_ms=$session_recovery_ms # for a session costs much
daemon_start
load_start
happen_both_ways
load_stop
stops 0
software_tpm_stop
rm -r "$kms" "$tpm" "$dir"/*.psk

# --- Behind a resource manager ---

manager_kill() { software_tpm_kill abrmd; }
manager_start() { software_tpm_abrmd "$tpm"; }
both_kill() { tpm_kill; manager_kill; }
both_start() { tpm_start; manager_start; }

# Wrong authorisations for an object of somebody else's, until the TPM takes none.
lock_out() {
    local i
    tpm2_dictionarylockout -Q -s -n 2 -t 1000 -l 1000
    tpm2_createprimary -Q -C o -p right -c "$tpm/other.ctx"
    for i in 1 2 3; do
        ! tpm2_create -Q -C "$tpm/other.ctx" -P wrong -u "$tpm/u" -r "$tpm/r" 2>"$tpm/why" ||
            wrong "a wrong authorisation was taken"
    done
    grep -q "lockout mode" "$tpm/why" || wrong "the TPM is not in lockout: $(cat "$tpm/why")"
}
lockout_ends() { tpm2_dictionarylockout -Q -c; }

software_tpm_start "$tpm"
export DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus TPM2TOOLS_TCTI=tabrmd:bus_type=session
daemon_with_tpm tabrmd:bus_type=session
daemon_start
load_start
happens "lockout by another program" lock_out lockout_ends
measure
at_first=$most
for _ in $(seq "$rounds"); do
    happens "resource manager killed and started again" manager_kill manager_start
    happens "with its TPM" both_kill both_start
    measure
done
no_more_descriptors
load_stop
stops 0
all_as_they_must
