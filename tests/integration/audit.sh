#!/usr/bin/env bash
# The audit trail of a running daemon: every answer is in it, others verify it, it outlives crashes,
# and where it cannot be written there is no answer.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3
. "$(dirname "$0")/daemon.sh"
trail=$kms/audit.log

user() { # name: a subscriber with the account $dir/NAME.json
    adm subscriber add "sip:$1@example.net" --psk-id "$1-1" --psk-out "$dir/$1.psk" \
        --account-out "$dir/$1.json" --url "$mikey_url"
}
follow() { # after a restart
    sed -i "s|http://[^\"]*|$mikey_url|" "$dir"/*.json
}
request() { # name of a new ticket
    "$tbs" request --account "$dir/alice.json" --to sip:bob@example.net --out "$dir/$1.ticket" \
        --received "$dir/$1.mikey" >/dev/null 2>&1
}
verified() { # file...
    "$admin" audit verify "$@" --public-key "$dir/audit.pem" >"$dir/verdict" ||
        wrong "not whole: $(cat "$dir/verdict")"
}
lines() { # event and maybe outcome, of all files
    cat "$trail".* "$trail" 2>/dev/null | grep "\"event\":\"$1\"" | grep -c "\"outcome\":\"${2-}" || true
}
# The octets of one member of a line with strings and numbers only.
member() {
    /usr/bin/python3 -c 'import json,sys; print(json.loads(sys.stdin.readline())[sys.argv[1]], end="")' "$1"
}

daemon_init
sed -i 's/every_seconds: .*/every_seconds: 1/' "$kms/tbs-kmsd.yaml"
daemon_start
user alice
user bob
adm audit public-key >"$dir/audit.pem"

echo "What is asked is in the trail, and so is what is changed"
request one
"$tbs" offer --ticket "$dir/one.ticket" --to sip:bob@example.net --out "$dir/one.offer"
"$tbs" resolve --account "$dir/bob.json" --offer "$dir/one.offer" --out "$dir/one.keys" >/dev/null
adm group add sip:team@example.net --name Team
refused 1 "" adm group add sip:team@example.net
ticket=$(grep '"event":"request"' "$trail" | member ticket)
[ "$ticket" = "$(grep '"event":"resolve"' "$trail" | member ticket)" ] || wrong "two tickets"
[ "$(grep -c '"command":"group add"' "$trail")" = 2 ] || wrong "no word of the group"
grep -qv '"outcome":"done"' <<<"$(grep '"event":"administration-ended"' "$trail")" || wrong "no failure told"
for secret in "$dir"/*.psk "$kms"/tokens/*-pin; do
    ! grep -qF "$(cat "$secret")" "$trail" || wrong "$secret is in the trail"
done
sleep 2.5
verified "$trail"

echo "openssl verifies a checkpoint"
checkpoint=$(grep '"event":"checkpoint"' "$trail" | tail -n 1)
covers=$(member covers <<<"$checkpoint") head=$(member head <<<"$checkpoint")
[ "$(sed -n "${covers}p" "$trail" | tr -d '\n' | sha256sum)" = "$head  -" ] || wrong "another head"
member signature <<<"$checkpoint" | base64 -d >"$dir/signature"
printf 'tbs-kms audit 1 %s %s' "$covers" "$head" >"$dir/signed"
openssl dgst -sha256 -verify "$dir/audit.pem" -signature "$dir/signature" "$dir/signed" >/dev/null ||
    wrong "openssl does not verify it"

echo "Manipulations end with a status of their own"
sed '3s/"20/"21/' "$trail" >"$dir/changed"
refused 4 broken "$admin" audit verify "$dir/changed"
head -c -5 "$trail" >"$dir/cut"
refused 6 unfinished "$admin" audit verify "$dir/cut"
sed '/checkpoint/,$d' "$trail" >"$dir/early"
refused 7 unsigned "$admin" audit verify "$dir/early" --public-key "$dir/audit.pem"
openssl ecparam -name prime256v1 -genkey -noout | openssl pkey -pubout >"$dir/other.pem"
refused 5 forged "$admin" audit verify "$trail" --public-key "$dir/other.pem"

echo "Killed at any moment: what was answered is in the trail, and the chain goes on"
answered=$(lines request request-ok)
for round in 1 2 3 4; do
    for i in 1 2 3 4 5 6 7 8 9; do
        if request "$round-$i"; then echo; fi
    done >"$dir/answers" &
    load=$!
    sleep "0.$((RANDOM % 4 + 1))"
    kill -9 "$kmsd_pid"
    wait "$kmsd_pid" 2>/dev/null || true
    wait "$load"
    answered=$((answered + $(wc -l <"$dir/answers")))
    [ "$round" != 2 ] || printf '{"event":"req' >>"$trail" # as if inside a line
    daemon_start
    follow
done
[ "$(lines request request-ok)" -ge "$answered" ] || wrong "an answer is not in the trail"
[ "$(grep -c '"event":"repaired","octets":13,' "$trail")" = 1 ] || wrong "no repair"
sleep 2.5
verified "$trail"

echo "A file that was moved is followed by another"
mv "$trail" "$trail.000000000001"
kill -HUP "$kmsd_pid"
request moved || wrong "no answer after the move"
sleep 2.5
verified "$trail.000000000001" "$trail"

echo "Where nothing can be written, there is no answer"
daemon_stop
verified "$trail.000000000001" "$trail"
[ "$(sed -n "s/ lines are not signed.*//p" "$dir/verdict")" = 0 ] || wrong "it stopped without a checkpoint"
daemon_start
follow
sleep 1.5 # its first lines
prlimit --pid "$kmsd_pid" --fsize=$(($(stat -c %s "$trail") + 4096)):
granted=$(lines request request-ok) n=0
while request "full-$n"; do
    n=$((n + 1))
    [ "$n" -lt 40 ] || wrong "it answers without a line"
done
[ "$(lines request request-ok)" = $((granted + n)) ] || wrong "not a line for each answer"
for _ in $(seq 30); do
    status=$(curl -s -o "$dir/ready" -w '%{http_code}' "$management/readyz")
    [ "$status" != 503 ] || break
    request more && wrong "an answer" || sleep 0.1
done
grep -q "cannot write the audit trail" "$dir/ready" || wrong "ready: $(cat "$dir/ready")"
prlimit --pid "$kmsd_pid" --fsize=unlimited:
for _ in $(seq 30); do
    ! request again || break
    sleep 0.1
done
curl -sf "$management/readyz" >/dev/null || wrong "it does not recover"
grep -q '"event":"resumed","lost":[1-9]' "$trail" || wrong "no word of what was lost"

echo "Not without a key that signs"
daemon_stop
verified "$trail.000000000001" "$trail"
SOFTHSM2_CONF=$kms/tokens/softhsm2.conf USER_PIN=$(cat "$kms/tokens/A.user-pin") pkcs11-tool \
    --module "$(sed -n 's/^ *module: //p' "$kms/tbs-kmsd.yaml")" --login --pin env:USER_PIN \
    --delete-object --type privkey --id "$(printf audit-2 | od -An -tx1 | tr -d ' \n')$(
        grep -o 'audit-2[0-9a-z-]*' "$dir/audit.pem" | head -n 1 | cut -c8- | tr -d '\n' |
            od -An -tx1 | tr -d ' \n')" 2>/dev/null
refused 3 "no token holds an audit key" "$kmsd" --config "$kms/tbs-kmsd.yaml"
sed -i '/every_/d' "$kms/tbs-kmsd.yaml"
daemon_start
follow
request unsigned || wrong "no answer without signatures"
