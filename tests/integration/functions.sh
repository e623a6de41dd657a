#!/usr/bin/env bash
# Network functions with a TPK of their own, from outside: tickets that the function makes and the
# daemon resolves (mode 3), that the KMS makes and the function opens (mode 2), and between two
# functions (mode 4). RFC 6043 4.1.1.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3 function=$4 make_key=$5
. "$(dirname "$0")/daemon.sh"

user() { # name: a subscriber with the account $dir/NAME.json
    adm subscriber add "sip:$1@example.net" --psk-id "$1-1" --psk-out "$dir/$1.psk" \
        --account-out "$dir/$1.json" --url "$mikey_url"
}
fn() { # command, TPK, identity, further words
    local command=$1 tpk=$2 identity=$3
    shift 3
    SOFTHSM2_CONF=$kms/tokens/softhsm2.conf "$function" "$command" \
        --module "$(sed -n 's/^ *module: //p' "$kms/tbs-kmsd.yaml")" \
        --uri "$(sed -n 's/^ *uri: //p' "$kms/tbs-kmsd.yaml" | tr -d \"\')" --pin "file:$kms/tokens/A.user-pin" \
        --tpk "$tpk" --identity "sip:$identity@example.net" "$@"
}
call() { # ticket, who answers, resolved: both have the same keys
    "$tbs" answer --account "$dir/$2.json" --offer "$dir/$1.offer" --resolved "$dir/$3" \
        --out "$dir/$1.answer" --keys "$dir/$1.bobs" >/dev/null
    "$tbs" finish --ticket "$dir/$1.ticket" --offer "$dir/$1.offer" --answer "$dir/$1.answer" \
        --keys "$dir/$1.alices" >/dev/null
    diff <(jq .crypto_sessions "$dir/$1.alices") <(jq .crypto_sessions "$dir/$1.bobs")
}
offer() { # name, to
    "$tbs" offer --ticket "$dir/$1.ticket" --to "sip:$2@example.net" --out "$dir/$1.offer"
}

daemon_init
without_registry
for id in tpk-z-mrf tpk-z-gateway; do
    "$make_key" "$kms/tbs-kmsd.yaml" tpk hmac-sha256 $id
done
sed -i 's/^kms:/kms:\n  functions:\n    - {identity: "sip:MRF@EXAMPLE.net", tpk: tpk-z-mrf}\n    - {identity: "sip:other@example.net", tpk: tpk-z-gateway}/' \
    "$kms/tbs-kmsd.yaml"
sed -i 's/sip:MRF@/sip:mrf@/' "$kms/tbs-kmsd.yaml" # hosts have no case, users have
daemon_start
for name in alice bob mrf gateway; do user $name; done

echo "Mode 3: the function makes the ticket, the KMS resolves it"
for forking in "" --forking; do
    n=three$forking
    fn ticket tpk-z-mrf mrf --kms sip:kms@example.net --to sip:bob@example.net $forking \
        --out "$dir/$n.ticket"
    offer "$n" bob
    "$tbs" resolve --account "$dir/bob.json" --offer "$dir/$n.offer" --out "$dir/$n.resolved" >/dev/null
    call "$n" bob "$n.resolved"
done
refused 3 "flag E" fn resolve tpk-z-mrf bob --offer "$dir/three.offer" --out "$dir/none"
fn ticket tpk-z-mrf alice --to sip:bob@example.net --out "$dir/forged.ticket" # in another's name
offer forged bob
refused 3 "Error 14" "$tbs" resolve --account "$dir/bob.json" --offer "$dir/forged.offer" --out "$dir/none"
[[ $(tail -n 20 "$kms/audit.log" 2>/dev/null || cat "$dir/kmsd.log") == *"made as its Initiator"* ]] ||
    wrong "not told why"

echo "Mode 2: the KMS makes the ticket, the function opens it"
"$tbs" request --account "$dir/alice.json" --to sip:mrf@example.net --no-forking --responder-resolves \
    --out "$dir/two.ticket" >/dev/null
offer two mrf
fn resolve tpk-z-mrf mrf --offer "$dir/two.offer" --out "$dir/two.resolved"
call two mrf two.resolved
refused 1 "another TPK" fn resolve tpk-z-gateway mrf --offer "$dir/two.offer" --out "$dir/none"
"$tbs" request --account "$dir/alice.json" --to sip:mrf@example.net --out "$dir/one.ticket" >/dev/null
offer one mrf
refused 3 "flag E" fn resolve tpk-z-mrf mrf --offer "$dir/one.offer" --out "$dir/none"

echo "Mode 4: two functions, no KMS"
daemon_stop
fn ticket tpk-z-gateway mrf --shared-with sip:gateway@example.net --to sip:gateway@example.net \
    --out "$dir/four.ticket"
offer four gateway
fn resolve tpk-z-gateway gateway --shared-with sip:mrf@example.net --offer "$dir/four.offer" \
    --out "$dir/four.resolved"
call four gateway four.resolved
refused 3 "not one of" fn resolve tpk-z-gateway gateway --offer "$dir/four.offer" --out "$dir/none"
