#!/usr/bin/env bash
# kill -9 of tbs-admin and of the daemon at any moment: what tbs-admin said was done is there, in
# the store and in the audit trail, and both are whole.
set -euo pipefail
admin=$1 kmsd=$2
rounds=40
. "$(dirname "$0")/daemon.sh"

daemon_init
daemon_start
done=() killed=0
for i in $(seq $rounds); do
    status=0
    "$admin" --config "$kms/tbs-kmsd.yaml" group add "sip:g$i@example.net" >/dev/null 2>&1 &
    pid=$!
    if [ $((i % 4)) != 0 ]; then
        sleep "0.$(printf %03d $((RANDOM % 60)))"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid" 2>/dev/null || status=$?
    case $status in
    0) done+=("sip:g$i@example.net") ;;
    137) killed=$((killed + 1)) ;;
    *) wrong "tbs-admin ended with $status" ;;
    esac
    if [ $((i % 10)) = 0 ]; then
        kill -KILL "$kmsd_pid"
        wait "$kmsd_pid" 2>/dev/null || true
        daemon_start
    fi
done
echo "${#done[@]} done, $killed killed"
adm group list >"$dir/groups"
for group in "${done[@]}"; do
    grep -q "^$group " "$dir/groups" || wrong "$group was acknowledged and is not there"
done
adm group add sip:last@example.net
done+=(sip:last@example.net)
daemon_stop
/usr/bin/python3 - "$kms/store.sqlite" "$kms/audit.log" "${done[@]}" <<'END'
import json, sqlite3, sys
store, trail, *done = sys.argv[1:]
assert sqlite3.connect(store).execute("PRAGMA integrity_check").fetchone()[0] == "ok"
lines = [json.loads(line) for line in open(trail, encoding="utf-8")]
ended = {l["of"] for l in lines if l["event"] == "administration-ended" and l["outcome"] == "done"}
told = {l["words"][0] for l in lines if l["event"] == "administration" and l["seq"] in ended}
assert told >= set(done), f"not in the audit trail: {set(done) - told}"
END
adm audit public-key >"$dir/audit.pem"
adm audit verify "$kms/audit.log" --public-key "$dir/audit.pem" >"$dir/verdict" ||
    [ $? = 7 ] || wrong "$(cat "$dir/verdict")"
[ "${#done[@]}" -gt 1 ] && [ "$killed" -gt 0 ] || wrong "nothing was tried"
