#!/usr/bin/env bash
# The outage matrix: a daemon under load (see load.c) whose token fails in one way after another.
# Every answer must be a right one or a clean refusal, and the service must be back soon after.
set -euo pipefail
admin=$1 kmsd=$2 mock=$3 load=$4
seconds=$5 settle=$6 # of each outage; how long a recovery is watched
rate=$7 rounds=$8    # messages a second; how often all outages come
make_key=$9
hang_seconds=5       # more than what the custody core takes for hanging
workers=4
here=$(dirname "$0")
. "$here/../integration/daemon.sh"
. "$here/../integration/mock.sh"
. "$here/rows.sh"

# --- Rows ---

outage() { # the row's name, what the script is afterwards; what it is meanwhile on stdin
    begin "$1"
    mock_script
    sleep "$seconds"
    mock_script <<<"$2"
    over
}

happens_again_and_again() { # the row's name, what
    begin "$1"
    for _ in $(seq 5); do
        mock_script <<<"$2"
        sleep 0.2
    done
    over
    mock_script </dev/null
}

refused_for_the_pin() { # how often the token was asked
    [ "$(mock_count login.CKR_PIN_INCORRECT)" = "$1" ] ||
        wrong "a wrong PIN was sent $(mock_count login.CKR_PIN_INCORRECT) times instead of $1"
}

# --- A daemon on the mock ---

daemon_init
subscriber alice
subscriber bob
without_registry
"$make_key" "$kms/tbs-kmsd.yaml" tpk hmac-sha256 tpk-9999-12
sed -i "s/^server:/&\n  workers: $workers\n  grace_s: 2/" "$kms/tbs-kmsd.yaml"
mock_configure

echo "A wrong PIN at the start"
cp -p "$kms/tokens/A.user-pin" "$dir/right.pin"
echo wrong-pin >"$kms/tokens/A.user-pin"
daemon_launch
! wait "$kmsd_pid" || wrong "started with a wrong PIN"
refused_for_the_pin 1

echo "A wrong PIN when the token comes"
echo another-wrong-pin >"$kms/tokens/A.user-pin"
mock_script <<<"device removed"
daemon_start
await_ready 503
mock_script </dev/null
for _ in $(seq 10); do
    kill -HUP "$kmsd_pid"
    sleep 0.1
done
await_ready 503
grep -q "has refused this PIN before" "$dir/ready"
refused_for_the_pin 1
cat "$dir/right.pin" >"$kms/tokens/A.user-pin"
kill -HUP "$kmsd_pid"
await_ready 200
refused_for_the_pin 1
stops 0

mock_script <<<"device removed"
daemon_start
await_ready 503
load_start
tell head
echo "$said"
outage "no token at the start" "" <<<"device removed"
await_ready 200
all_outages() { # the round
    happens_again_and_again "sessions invalidated" "sessions invalidate"
    happens_again_and_again "logged out" "logout"
    outage "device removed and returned" "" <<<"device removed"
    outage "module dead until initialised anew" "" <<<"module dead CKR_CRYPTOKI_NOT_INITIALIZED"
    outage "module fails until initialised anew" "" <<<"module dead CKR_GENERAL_ERROR"
    outage "every 50th call: CKR_DEVICE_ERROR" "" <<<"fail * CKR_DEVICE_ERROR every 50"
    outage "every 50th call: CKR_FUNCTION_FAILED" "" <<<"fail * CKR_FUNCTION_FAILED every 50"
    outage "every MAC fails" "" <<<"fail C_Sign CKR_GENERAL_ERROR"
    outage "every decryption fails" "" <<<"fail C_Decrypt CKR_GENERAL_ERROR"
    seconds=$hang_seconds outage "MACs hang" "" <<<"hang C_Sign"
    seconds=$hang_seconds outage "all calls hang" "" <<<"hang *"
    outage "slot numbers shifted" "slot shift 3" <<<"slot shift 3
sessions invalidate"
    outage "object handles shifted" "handles shift" <<<"device removed"
    outage "object handles swapped" "handles swap tpk-9999-12 tpk-2026-01" \
        <<<"module dead CKR_CRYPTOKI_NOT_INITIALIZED"
    outage "fewer sessions than workers" "" <<<"sessions invalidate
sessions max 4"
    begin "keys come while the configuration is read"
    for i in $(seq 5); do
        "$make_key" "$kms/tbs-kmsd.yaml" tpk hmac-sha256 "tpk-9999-12-$1-$i"
        kill -HUP "$kmsd_pid"
        sleep 0.1
    done
    over
}

sessions_are_few() { # the login's, the watcher's, the audit trail's
    sessions=$(mock_count sessions.now)
    echo "$sessions sessions with the token"
    [ "$sessions" -le $((workers + 3)) ] || wrong "more sessions than one for each worker and three"
}

measure
at_first=$most
for round in $(seq "$rounds"); do
    all_outages "$round"
    measure
done
no_more_descriptors
sessions_are_few
load_stop
stops 0

echo "Stopped while all calls hang"
daemon_start
mock_script <<<"hang *"
kill -HUP "$kmsd_pid" # has the token examined
sleep 0.5
stops 1
mock_script </dev/null

# --- A daemon with a token in another process ---

client=$(echo /usr/lib/*/pkcs11/p11-kit-client.so)
[ -r "$client" ] || { echo "p11-kit's client module is not installed"; exit 77; }
rm -rf "$kms" "$dir"/*.psk
daemon_init
subscriber alice
subscriber bob

# Each connection is served by a child of the server.
module_start() {
    eval "$(SOFTHSM2_CONF=$kms/tokens/softhsm2.conf p11-kit server --provider "$MOCK_PKCS11_MODULE" \
        --name "$dir/p11.sock" 'pkcs11:' 8>&- 9<&-)"
}

module_kill() {
    kill -KILL "$P11_KIT_SERVER_PID" $(cat "/proc/$P11_KIT_SERVER_PID/task/$P11_KIT_SERVER_PID/children")
    rm -f "$dir/p11.sock"
}

module_start
trap 'daemon_stop; kill "$P11_KIT_SERVER_PID" 2>/dev/null || true; rm -rf "$dir"' EXIT
sed -i -e "s|module: .*|module: $client|" \
    -e "s|environment: .*|environment: [\"P11_KIT_SERVER_ADDRESS=$P11_KIT_SERVER_ADDRESS\"]|" \
    "$kms/tbs-kmsd.yaml"
daemon_start
load_start
begin "module process killed and started again"
module_kill
sleep "$seconds"
module_start
over
load_stop
stops 0
all_as_they_must
