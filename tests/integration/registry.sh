#!/usr/bin/env bash
# A key registry, signed by others' hands with OpenSSL, and what its word does to real tickets.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3 make_registry=$4 make_key=$5
. "$(dirname "$0")/daemon.sh"

user() { # name: a subscriber with the account $dir/NAME.json
    adm subscriber add "sip:$1@example.net" --psk-id "$1-1" --psk-out "$dir/$1.psk" \
        --account-out "$dir/$1.json" --url "$mikey_url"
}
restart() {
    daemon_stop
    daemon_start
    sed -i "s|http://[^\"]*|$mikey_url|" "$dir"/*.json
}
request() { # name
    "$tbs" request --account "$dir/alice.json" --to sip:bob@example.net --out "$dir/$1.ticket" \
        --received "$dir/$1.mikey" >/dev/null
}
offer() { # name: $dir/NAME.offer, and prints the id of the key that its ticket was made with
    request "$1"
    "$tbs" offer --ticket "$dir/$1.ticket" --to sip:bob@example.net --out "$dir/$1.offer"
    LC_ALL=C grep -ao 'tpk-[0-9a-z-]*' "$dir/$1.mikey"
}
resolve() { # name
    rm -f "$dir/$1.resolved"
    "$tbs" resolve --account "$dir/bob.json" --offer "$dir/$1.offer" --out "$dir/$1.resolved"
}
metric() { # a line's beginning: prints its value
    curl -s "$management/metrics" | grep -v "^#" | grep -F -- "$1 " | sed "s/.* //" || true
}
said() { # part of a line of the daemon's log, which comes soon
    for _ in $(seq 50); do
        ! grep -qF "$1" "$dir/kmsd.log" || return 0
        sleep 0.1
    done
    cat "$dir/kmsd.log" >&2
    wrong "the daemon did not say: $1"
}
registry=$kms/registry
number=0
newest() { # arguments of make_registry...: the next registry, signed by both, in its place
    local previous=()
    [ $number = 0 ] || previous=(--previous "$dir/registry-$number")
    number=$((number + 1))
    "$make_registry" "$dir/registry-$number" "$dir/facts" --sequence $number "${previous[@]}" \
        --sign "$dir/ann.key" --sign "$dir/ben.key" "$@"
    cp "$dir/registry-$number" "$registry"
}
hangup() { # the value that a metric then has, the beginning of its line
    kill -HUP "$kmsd_pid"
    for _ in $(seq 50); do
        [ "$(metric "$2")" != "$1" ] || return 0
        sleep 0.1
    done
    cat "$dir/kmsd.log" >&2
    wrong "$2 is $(metric "$2"), not $1"
}
takes() {
    hangup $number tbs_key_registry_sequence
}
starts_not() { # part of the sentence
    refused 3 "$1" "$kmsd" --config "$kms/tbs-kmsd.yaml"
}

daemon_init
without_registry
daemon_start
said 'event=no-key-registry'
user alice
user bob
old=$(offer before)
"$make_key" "$kms/tbs-kmsd.yaml" tpk hmac-sha256 tpk-9-new
adm --json keys check-values >"$dir/facts"
for signer in ann ben eve; do
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/$signer.key" 2>/dev/null
    openssl pkey -in "$dir/$signer.key" -pubout -out "$kms/$signer.pem"
done
daemon_stop
sed -i 's/^store:/  registry: {file: registry, signers: [ann.pem, ben.pem]}\nstore:/' \
    "$kms/tbs-kmsd.yaml"

# --- What no KMS starts with ---

starts_not "cannot open"
both=(--sign "$dir/ann.key" --sign "$dir/ben.key")
"$make_registry" "$registry" "$dir/facts"
starts_not "0 of the 2 signers that count signed"
"$make_registry" "$registry" "$dir/facts" --sign "$dir/ann.key" --sign "$dir/ann.key" --sign "$dir/eve.key"
starts_not "1 of the 2 signers that count signed, and 2 are needed"
"$make_registry" "$registry" "$dir/facts" "${both[@]}"
sed -i '1s/site-only/escrowed/' "$registry"
starts_not "the signature by ann.pem does not verify"
"$make_registry" "$registry" "$dir/facts" "${both[@]}" --rehearsal
starts_not "it is one of a rehearsal"
sed -i 's/signers: \[ann/rehearsal: true, &/' "$kms/tbs-kmsd.yaml"
"$kmsd" --check --config "$kms/tbs-kmsd.yaml" >/dev/null || wrong "no rehearsal can be made"
"$make_registry" "$registry" "$dir/facts" "${both[@]}"
starts_not "it is none of a rehearsal"
sed -i 's/rehearsal: true, //' "$kms/tbs-kmsd.yaml"
"$make_registry" "$registry" "$dir/facts" "${both[@]}" --set "$old.state=retired"
starts_not "no state 'retired'"
"$make_registry" "$registry" "$dir/facts" "${both[@]}" --drop tpk-9-new
starts_not "key tpk-9-new on token 'tbs-A' is refused: the key registry does not name it"
"$make_registry" "$registry" "$dir/facts" "${both[@]}" --set tpk-9-new.check=$(printf "%032d" 7)
starts_not "its check value is not that of the key registry"
"$make_registry" "$registry" "$dir/facts" "${both[@]}" --set tpk-9-new.token=0123456789abcdef=local
starts_not "does not name this token for it"
kek=$(sed -n 's/.*"id": "\(kek-[^"]*\)".*/\1/p' "$dir/facts")
block=$(grep -A5 "\"$kek\"" "$dir/facts" | sed -n 's/.*"check_value": "\(.*\)".*/\1/p')
"$make_registry" "$registry" "$dir/facts" "${both[@]}" --set "$kek.check=${block%?}$(
    [ "${block: -1}" = 0 ] && echo 1 || echo 0)"
starts_not "key $kek on token 'tbs-A' is refused: its check value"
[ ! -e "$kms/key-registry.seen" ] || wrong "a refused registry is remembered"

# --- One that is right; OpenSSL alone agrees with its signatures ---

newest --set tpk-9-new.state=pre-active
head -n1 "$registry" | tr -d '\n' >"$dir/line"
i=1
for signer in ann ben; do
    i=$((i + 1))
    sed -n ${i}p "$registry" | sed 's/.*"signature":"\([^"]*\)".*/\1/' | base64 -d >"$dir/signature"
    openssl dgst -sha256 -verify "$kms/$signer.pem" -signature "$dir/signature" "$dir/line" >/dev/null ||
        wrong "openssl does not take the signature of $signer"
done
"$kmsd" --check --config "$kms/tbs-kmsd.yaml" >/dev/null
restart
said "event=key-registry sequence=1"
[ "$(offer pre-active)" = "$old" ] || wrong "a pre-active key is used"
resolve before >/dev/null
[ "$(metric "tbs_key_state{key=\"$old\",state=\"active\"}")" = 1 ] || wrong "no state of $old"

# --- Rotation: the older opens, the newer protects ---

newest --set "$old.state=deactivated"
takes
[ "$(offer after)" = tpk-9-new ] || wrong "the newer key is not used"
for ticket in before pre-active after; do
    resolve $ticket >/dev/null || wrong "the ticket of $ticket cannot be resolved"
done

# --- An older registry does not come back, nor another of the same number ---

cp "$dir/registry-1" "$registry"
kill -HUP "$kmsd_pid"
said "this is registry 1, and number 2 was seen before"
[ "$(metric tbs_key_registry_sequence)" = 2 ] || wrong "an older registry was taken"
[ "$(offer still)" = tpk-9-new ] || wrong "an older registry is in use"
"$make_registry" "$registry" "$dir/facts" "${both[@]}" --sequence 2 --previous "$dir/registry-1"
kill -HUP "$kmsd_pid"
said "another 2 was seen before"
"$make_registry" "$registry" "$dir/facts" "${both[@]}" --sequence 3 --previous "$dir/registry-2"
kill -HUP "$kmsd_pid"
said "makes key $old active, which was deactivated"
daemon_stop
starts_not "makes key $old active"
cp "$dir/registry-1" "$registry"
starts_not "number 2 was seen before"
cp "$dir/registry-2" "$registry"
restart

# --- Compromised: nothing, unless the configuration says otherwise ---

newest --set "$old.state=compromised"
takes
refused 3 "Error 14" resolve before
resolve after >/dev/null || wrong "the newer key opens nothing"
sed -i 's/^store:/  compromised: open-with-warning\nstore:/' "$kms/tbs-kmsd.yaml"
restart
said "event=key-compromised key=$old"
resolve before >/dev/null || wrong "open-with-warning does not open"
[ "$(offer warned)" = tpk-9-new ] || wrong "a compromised key protects"
sed -i '/compromised: open-with-warning/d' "$kms/tbs-kmsd.yaml"
restart

# --- The end comes near, and is there ---

newest --set "$old.state=compromised" --set tpk-9-new.protect_until=+1728060
takes
kill -HUP "$kmsd_pid"
said "event=key-ends key=tpk-9-new days=20"
left=$(metric 'tbs_key_protect_seconds{key="tpk-9-new"}')
[[ $left -gt 1727000 && $left -le 1728060 ]] || wrong "$left s to the end"
[[ $(adm status) == *"tpk-9-new ends in 20 days"* ]] || wrong "status does not warn: $(adm status)"
[[ $(adm keys | grep tpk-9-new) == *active* ]] || wrong "keys does not tell the state"

newest --set "$old.state=compromised" --set tpk-9-new.protect_until=-1
takes
said "event=key-ended key=tpk-9-new"
refused 4 "503" request ended
said "the period in which key tpk-9-new may protect anything is over"
resolve after >/dev/null || wrong "a key at the end of its period does not open its tickets"
[ "$(curl -s -o /dev/null -w '%{http_code}' "$management/readyz")" = 200 ] || wrong "not ready"
newest --set "$old.state=compromised" --set tpk-9-new.protect_until=-20 \
    --set tpk-9-new.process_until=-1
takes
refused 3 "Error 14" resolve after

# --- A key that the registry does not name yet ---

"$make_key" "$kms/tbs-kmsd.yaml" tpk hmac-sha256 tpk-9-newest
newest --set "$old.state=compromised"
hangup 1 'tbs_key_refused{key="tpk-9-newest"}'
[ "$(offer unnamed)" = tpk-9-new ] || wrong "a key is used that the registry does not name"
[[ $(adm keys | grep tpk-9-newest) == *"not usable"*refused* ]] || wrong "$(adm keys)"
adm --json keys check-values >"$dir/facts"
newest --set "$old.state=compromised"
hangup 0 'tbs_key_refused{key="tpk-9-newest"}'
[ "$(offer named)" = tpk-9-newest ] || wrong "the named key is not used"

# --- A destroyed key that is still there ---

newest --set "$old.state=destroyed"
takes
restart
said "event=key-refused key=$old"
said "was destroyed, and it is still there"
destroy_key "$old"
hangup "" "tbs_key_refused{key=\"$old\"}"
newest --set "$old.state=destroyed" --set tpk-9-new.state=deactivated
destroy_key tpk-9-new
takes
restart
said "event=key-missing key=tpk-9-new"
[ "$(grep -c event=key-missing "$dir/kmsd.log")" = 1 ] || wrong "$(grep key-missing "$dir/kmsd.log")"
daemon_stop

# --- The audit trail tells it all ---

for word in '"event":"key-registry"' '"event":"key-registry-refused"' \
    '"event":"key-state","key":"'"$old"'"'; do
    grep -qF "$word" "$kms/audit.log" || wrong "no $word in the audit trail"
done
for states in 'deactivated","time":"[^"]*","was":"active' 'compromised","time":"[^"]*","was":"deactivated' \
    'destroyed","time":"[^"]*","was":"compromised'; do
    grep -q "\"key\":\"$old\".*\"state\":\"$states" "$kms/audit.log" || wrong "no word of $states"
done
adm audit public-key >"$dir/audit.pem"
adm audit verify "$kms/audit.log" --public-key "$dir/audit.pem" >/dev/null
