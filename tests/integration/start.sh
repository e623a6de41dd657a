#!/usr/bin/env bash
# What tbs-kmsd may meet at its start: a store that a person has to see to; then, held up by the PIN,
# a link in the place of its address file; a hangup, which is served after the start; SIGTERM, which
# ends it at once; and a token that leaves, which it waits for.
set -euo pipefail
admin=$1 kmsd=$2
. "$(dirname "$0")/daemon.sh"

fail() {
    echo "FAIL $1" >&2
    cat "$dir/kmsd.log" >&2
    exit 1
}

# Starts the daemon, and returns when it waits for the rest of its PIN.
launch_up_to_the_pin() {
    daemon_launch
    head -c 4 "$dir/kms/tokens/A.user-pin" >&7
    while read -t 0 -u 7; do
        kill -0 "$kmsd_pid" || fail "it does not wait for its PIN"
        sleep 0.05
    done
}

give_the_rest_of_the_pin() {
    { tail -c +5 "$dir/kms/tokens/A.user-pin"; echo; } >&7
}

await_reloads() { # how many
    for _ in $(seq 100); do
        [ "$(grep -c event=reload "$dir/kmsd.log")" != "$1" ] || return 0
        sleep 0.1
    done
    fail "not reloaded $1 times"
}

ended_with() { # exit status
    local status=0
    wait "$kmsd_pid" || status=$?
    [ "$status" = "$1" ] || fail "exit status $status instead of $1"
    kmsd_pid=
}

schema() { # its version, or a new one
    /usr/bin/python3 - "$kms/store.sqlite" "$@" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA user_version" + "".join(" = %d" % int(v) for v in sys.argv[2:]))
print(db.execute("PRAGMA user_version").fetchone()[0])
END
}

daemon_init

echo "A store of a newer version, and stores out of reach: for a person, not for another start"
start=("$kmsd" --config "$kms/tbs-kmsd.yaml")
version=$(schema)
schema 9999 >/dev/null
refused 3 "schema version 9999" "${start[@]}"
schema "$version" >/dev/null
# What makes root one who may read everything.
[ "$(id -u)" != 0 ] || start=(setpriv --bounding-set -dac_override,-dac_read_search "${start[@]}")
mkdir "$dir/closed"
mv "$kms/store.sqlite" "$dir/closed"
sed -i.bak "s|^  path: .*|  path: $dir/closed/store.sqlite|" "$kms/tbs-kmsd.yaml"
chmod 000 "$dir/closed"
refused 3 "key-registry.seen: Permission denied" "${start[@]}"
without_registry
refused 3 "store.sqlite: Permission denied" "${start[@]}"
chmod 500 "$dir/closed"
refused 3 "writable by this user" "${start[@]}"
chmod 700 "$dir/closed"
for mode in 000 400; do
    chmod "$mode" "$dir/closed/store.sqlite"
    refused 3 "writable by this user" "${start[@]}"
done
chmod 600 "$dir/closed/store.sqlite"
mv "$dir/closed/store.sqlite" "$kms"
mv "$kms/tbs-kmsd.yaml.bak" "$kms/tbs-kmsd.yaml"

sed -i 's|^  pin: .*|  pin: "fd:7"|' "$dir/kms/tbs-kmsd.yaml"
mkfifo "$dir/pin"
exec 7<>"$dir/pin"

echo "The address file is a new one, whatever lies in its way"
echo precious >"$dir/precious"
ln -s "$dir/precious" "$dir/kms/addresses.new"
launch_up_to_the_pin
give_the_rest_of_the_pin
daemon_await_start
[ "$(cat "$dir/precious")" = precious ] || fail "the daemon wrote through a link"
[ "$(stat -c '%F %a' "$dir/kms/addresses")" = "regular file 600" ] || fail "not a file of its own"
kill -TERM "$kmsd_pid"
ended_with 0
ls "$dir"/kms/addresses* >/dev/null 2>&1 && fail "it left files behind"

echo "SIGHUP at the start, and again later"
launch_up_to_the_pin
kill -HUP "$kmsd_pid"
sleep 0.2
kill -0 "$kmsd_pid" || fail "SIGHUP ended it"
give_the_rest_of_the_pin
daemon_await_start
await_reloads 1
kill -HUP "$kmsd_pid"
await_reloads 2
kill -TERM "$kmsd_pid"
ended_with 0
await_reloads 2

echo "SIGTERM at the start"
launch_up_to_the_pin
kill -TERM "$kmsd_pid"
ended_with 143

echo "A token that is away at the start: the PIN is read all the same, and a stop waits for nobody"
mkdir "$dir/none"
sed -i.bak "s|^directories.tokendir.*|directories.tokendir = $dir/none|" "$dir/kms/tokens/softhsm2.conf"
launch_up_to_the_pin
give_the_rest_of_the_pin
daemon_await_start
kill -TERM "$kmsd_pid"
ended_with 0
echo "  keep_pin: false" >"$dir/keep"
sed -i.bak "/^custody:/r $dir/keep" "$dir/kms/tbs-kmsd.yaml"
daemon_launch
daemon_await_start
kill -TERM "$kmsd_pid"
ended_with 0
mv "$dir/kms/tbs-kmsd.yaml.bak" "$dir/kms/tbs-kmsd.yaml"
mv "$dir/kms/tokens/softhsm2.conf.bak" "$dir/kms/tokens/softhsm2.conf"

echo "A token that leaves at the start"
client=$(echo /usr/lib/*/pkcs11/p11-kit-client.so)
[ -r "$client" ] || { echo "p11-kit's client module is not installed"; exit 77; }
module=$(sed -n 's/^ *module: //p' "$dir/kms/tbs-kmsd.yaml")
eval "$(SOFTHSM2_CONF=$dir/kms/tokens/softhsm2.conf p11-kit server --provider "$module" \
    --name "$dir/p11.sock" 'pkcs11:' 7>&-)"
trap 'daemon_stop; kill "$P11_KIT_SERVER_PID" 2>/dev/null || true; rm -rf "$dir"' EXIT
sed -i -e "s|module: .*|module: $client|" \
    -e "s|environment: .*|environment: [\"P11_KIT_SERVER_ADDRESS=$P11_KIT_SERVER_ADDRESS\"]|" \
    "$dir/kms/tbs-kmsd.yaml"
launch_up_to_the_pin
kill $(cat "/proc/$P11_KIT_SERVER_PID/task/$P11_KIT_SERVER_PID/children")
give_the_rest_of_the_pin
daemon_await_start
for _ in $(seq 100); do
    grep -q '^ready' <<<"$(curl -s "$management/readyz")" && break
    sleep 0.1
done
curl -sSf "$management/readyz" || fail "the token's return was not seen"
kill -TERM "$kmsd_pid"
ended_with 0
