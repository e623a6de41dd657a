#!/usr/bin/env bash
# A wrong PIN in the configuration costs the token one attempt, however often the daemon and the
# programs beside it are started, and also when one is killed in the middle of it.
set -euo pipefail
admin=$1 kmsd=$2 mock=$3
. "$(dirname "$0")/daemon.sh"
. "$(dirname "$0")/mock.sh"

fail() {
    echo "$*" >&2
    tail -3 "$dir/kmsd.log" >&2
    exit 1
}

attempts() { # with a PIN, in all processes so far
    awk '$2 ~ /^login[.](CKR_OK|CKR_PIN_INCORRECT|other)$/ { n += $1 } END { print n + 0 }' \
        "$MOCK_PKCS11_LOG".*
}

start_fails() { # status, what the log says
    local status=0
    daemon_launch
    wait "$kmsd_pid" || status=$?
    kmsd_pid=
    [ "$status" = "$1" ] || fail "exit status $status instead of $1"
    grep -q "$2" "$dir/kmsd.log" || fail "the log does not say: $2"
    ! grep -qF -e "$(cat "$kms/tokens/A.user-pin")" "$dir/kmsd.log" || fail "the log has the PIN"
}

daemon_init
mock_configure
records=$kms/refused-pins
cp "$kms/tokens/A.user-pin" "$dir/right.pin"
rm -f "$MOCK_PKCS11_LOG".*

echo "Started ten times, and others beside"
echo wrong-pin >"$kms/tokens/A.user-pin"
start_fails 3 CKR_PIN_INCORRECT
for _ in $(seq 9); do
    start_fails 3 "has refused this PIN before"
done
! adm status >"$dir/out" 2>&1 || fail "tbs-admin got in"
! adm token-test >>"$dir/out" 2>&1 || fail "token-test got in"
[ "$(grep -c "has refused this PIN before" "$dir/out")" = 2 ] || fail "$(cat "$dir/out")"
[ "$(attempts)" = 1 ] || fail "the token was asked $(attempts) times instead of once"
[ "$(stat -c %a "$records" "$records"/* | sort -u)" = "$(printf '600\n700')" ] ||
    fail "others may read the records"

echo "Corrected, then well"
cp "$dir/right.pin" "$kms/tokens/A.user-pin"
daemon_start
daemon_stop
daemon_start
daemon_stop
[ "$(attempts)" = 3 ] || fail "$(attempts) attempts instead of 3"

echo "Killed during the login: tried again where the token counted no wrong PIN"
echo "hang C_Login" | mock_script
daemon_launch
for _ in $(seq 100); do
    grep -q ' t ' "$records"/* && break
    sleep 0.1
done
kill -KILL "$kmsd_pid"
wait "$kmsd_pid" || true
kmsd_pid=
grep -q ' t ' "$records"/* || fail "the attempt was not written down first"
echo "login flags COUNT_LOW" | mock_script
start_fails 3 "has refused this PIN before"
mock_script </dev/null
daemon_start
daemon_stop

echo "Without a record no PIN is sent"
before=$(attempts)
mv "$records" "$dir/away"
echo file >"$records"
start_fails 3 "the record of refused PINs"
rm "$records"
mv "$dir/away" "$records"
for record in "$records"/*; do
    echo nonsense >"$record"
done
start_fails 3 "is no record of refused PINs"
[ "$(attempts)" = "$before" ] || fail "a PIN was sent"
rm "$records"/*
daemon_start
