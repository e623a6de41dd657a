#!/usr/bin/env bash
# The shipped ceremonies, rehearsed one after the other on SoftHSM tokens; what they leave is read
# by others: openssl and pkcs11-tool.
set -euo pipefail
ceremony=$1 scripts=$2 verify=$3
. "$(dirname "$0")/ceremony_common.sh"

# --- Before the room ---

sed 's/on: \[A\], to: \[B, V\]/on: [A], to: [B, W]/' "$scripts/initialise-and-generate.yaml" >"$dir/bad.yaml"
refused 4 "token W is not in tokens" "$ceremony" lint "$dir/bad.yaml"
[ "$("$ceremony" lint --json "$dir/bad.yaml" | jq -r '.[0].rule')" = unknown-token ] || wrong "lint --json"
refused 3 "token W is not in tokens" rehearse "$dir/bad" "$dir/bad.yaml"
[ ! -e "$dir/bad" ] || wrong "a bad script made a folder"
refused 2 "needs --site" "$ceremony" run --script "$dir/bad.yaml" "$dir/bad"
refused 2 "for rehearsals only" "$ceremony" run --answers auto --site x --script "$dir/bad.yaml" "$dir/bad"
refused 1 "there is no folder" "$ceremony" resume --answers auto "$dir/none"

refused 1 "cannot open" "$ceremony" words "$dir/none"
printf abc >"$dir/abc" # FIPS 180-2, B.1
[ "$("$ceremony" words "$dir/abc" | head -n 1)" = \
    ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad ] || wrong "the hash of abc"
[ "$("$ceremony" words "$dir/abc" | tail -n 1 | wc -w)" = 32 ] || wrong "not a word for each octet"

# --- The first ---

first=$dir/first
rehearse "$first" "$scripts/initialise-and-generate.yaml" >"$dir/first.out"
refused 1 "cannot make the new folder" rehearse "$first" "$scripts/initialise-and-generate.yaml"
refused 7 "is closed" "$ceremony" resume --answers auto "$first"
[ "$(head -n 1 "$first/transcript.jsonl" | jq .rehearsal)" = true ] || wrong "the record does not say rehearsal"
[ "$(head -n 1 "$first/registry.jsonl" | jq .rehearsal)" = true ] || wrong "the registry does not say rehearsal"
[ "$(head -n 1 "$first/blobs/tpk-2026-01.B.blob" | jq .rehearsal)" = true ] || wrong "the blob does not say rehearsal"
cmp "$first/ceremony.yaml" "$scripts/initialise-and-generate.yaml" || wrong "another script was performed"
[ "$(head -n 1 "$first/transcript.jsonl" | jq -r .script_sha256)" = \
    "$(sha256sum <"$first/ceremony.yaml" | cut -d' ' -f1)" ] || wrong "the hash of the script"
chain "$first"

# Each signature of the registry by openssl.
signatures "$first/registry.jsonl" "$first" 2
for blob in "$first"/blobs/*.blob "$first"/blobs/*.escrow; do
    signatures "$blob" "$first" 1
done
checkpoints "$first" 6

# The same key in three tokens, by their own word.
for id in kek-2026-01 tpk-2026-01 tpk-2026-02; do
    n=$(jq -r "select(.type == \"kcv\" and .id == \"$id\") | .value" "$first/transcript.jsonl" | sort -u | wc -l)
    [ "$n" = 1 ] || wrong "$id has $n check values"
done
attempts=$(jq 'select(.type == "attack") | .attempts[].name' "$first/transcript.jsonl" | wc -l)
[ "$attempts" -ge 20 ] || wrong "only $attempts attacks"

# pkcs11-tool reads the attributes, and computes the check value.
hex() {
    od -An -tx1 | tr -d ' \n'
}
tool() { # token, arguments...; it warns of what it cannot read
    SOFTHSM2_CONF=$first/rehearsal/tokens/softhsm2.conf pkcs11-tool --module "$softhsm" \
        --token-label "tbs-$1" --login --pin "$(cat "$first/rehearsal/tokens/$1.user-pin")" "${@:2}" 2>/dev/null
}
tool A --list-objects --type secrkey >"$dir/objects"
grep -q 'label: *tpk-2026-01' "$dir/objects" || wrong "pkcs11-tool does not see tpk-2026-01 on A"
grep -q canary "$dir/objects" && wrong "the canary is still there"
: >"$dir/empty"
for token in A B V; do
    tool $token --sign --mechanism SHA256-HMAC --id "$(printf tpk-2026-01 | hex)" --input-file "$dir/empty" \
        --output-file "$dir/mac" >/dev/null || wrong "pkcs11-tool cannot sign on $token"
    [ "$(head -c 16 "$dir/mac" | hex)" = "$(jq -r 'select(.type == "kcv" and .id == "tpk-2026-01") | .value' "$first/transcript.jsonl" | head -1)" ] ||
        wrong "another check value on $token by pkcs11-tool"
done

# Every key was read back by a new process; without what a ceremony says, there is none.
[ "$(jq 'select(.type == "attr") | .reopened' "$first/transcript.jsonl" | sort | uniq -c | tr -d ' ')" = 25true ] ||
    wrong "keys were not read back by a new process"
refused 2 "is for a ceremony that runs" "$ceremony" read-back </dev/null
refused 1 "shows no token" "$ceremony" read-back 3< <(echo 1234) \
    <<<"{\"module\": \"$softhsm\", \"serial\": \"0000\", \"pin_pad\": false}"

# The verifier is found where this program is.
mkdir "$dir/bin"
cp "$ceremony" "$dir/bin/tbs-ceremony"
PATH=$dir/none refused 1 "neither beside this program nor in" "$dir/bin/tbs-ceremony" verify "$first"
cp "$verify" "$dir/bin/tbs-ceremony-verify"
refused 1 "Opinion: REFUSED" "$dir/bin/tbs-ceremony" verify "$first"
refused 2 "verify comes first" "$ceremony" --json verify "$first"
[ "$("$dir/bin/tbs-ceremony" verify --rehearsal --json "$first" | jq -r .verdict)" = verified ] ||
    wrong "tbs-ceremony verify"

# --- AES keys ---

rehearse "$dir/aes" "$(dirname "$0")/ceremony-aes.yaml" >"$dir/aes.out"
grep -q "Token A: 1 objects destroyed; 1 keys are left, none of them it" "$dir/aes.out" ||
    wrong "an AES key is not destroyed"
"$verify" --rehearsal "$dir/aes" >"$dir/opinion" || wrong "AES: $(sed -n '3,5p' "$dir/opinion")"

# --- What follows it ---

refused 7 "after a rehearsal only" "$ceremony" run --after "$first" --script "$scripts/rotate-tpk.yaml" \
    --site "$first/site.yaml" "$dir/real"
rehearse "$dir/rotate" "$scripts/rotate-tpk.yaml" --after "$first" >"$dir/rotate.out"
state() { # folder, key
    head -n 1 "$1/registry.jsonl" | jq -r ".keys[] | select(.id == \"$2\") | .state"
}
[ "$(state "$dir/rotate" tpk-2026-01)" = deactivated ] || wrong "tpk-2026-01 is not deactivated"
[ "$(state "$dir/rotate" tpk-2026-02)" = active ] || wrong "tpk-2026-02 is not active"
[ "$(head -n 1 "$dir/rotate/registry.jsonl" | jq -r .previous)" = \
    "$(head -n 1 "$first/registry.jsonl" | tr -d '\n' | sha256sum | cut -d' ' -f1)" ] || wrong "previous"
[ "$(head -n 1 "$dir/rotate/transcript.jsonl" | jq -r .parent)" = \
    "$(tail -n 1 "$first/transcript.jsonl" | tr -d '\n' | sha256sum | cut -d' ' -f1)" ] || wrong "parent"

# Somebody was at token V meanwhile.
tool V --keygen --key-type aes:32 --label planted --id 31 >/dev/null
refused 7 "token V, object 1:" rehearse "$dir/planted" "$scripts/destroy-tpk.yaml" --after "$dir/rotate"
refused 7 "token V has 1 objects that no step made" "$ceremony" abort --answers auto "$dir/planted"
tool V --delete-object --type secrkey --id 31 >/dev/null
refused 6 "aborted and closed" "$ceremony" abort --answers auto "$dir/planted"
tool B --list-objects --type secrkey >"$dir/objects"
grep -q 'label: *tpk-2026-01' "$dir/objects" || wrong "tpk-2026-01 is not on B"
rehearse "$dir/destroy" "$scripts/destroy-tpk.yaml" --after "$dir/rotate" >"$dir/destroy.out"
[ "$(state "$dir/destroy" tpk-2026-01)" = destroyed ] || wrong "tpk-2026-01 is not destroyed"
for token in A B V; do
    tool $token --list-objects --type secrkey >"$dir/objects"
    grep -q 'label: *tpk-2026-01' "$dir/objects" && wrong "tpk-2026-01 is still on $token"
    grep -q 'label: *tpk-2026-02' "$dir/objects" || wrong "tpk-2026-02 went, too, on $token"
done
# Of a pair both halves go.
rehearse "$dir/renew" "$scripts/renew-tls.yaml" --after "$dir/destroy" >"$dir/renew.out"
[ "$(state "$dir/renew" tls-2026-01)" = destroyed ] || wrong "tls-2026-01 is not destroyed"
for type in privkey pubkey; do
    tool A --list-objects --type $type >"$dir/objects"
    grep -q 'label: *tls-2026-01' "$dir/objects" && wrong "the $type of tls-2026-01 is still there"
    grep -q 'label: *tls-2026-02' "$dir/objects" || wrong "there is no $type of tls-2026-02"
done
rehearse "$dir/drill" "$scripts/disaster-recovery-drill.yaml" --after "$dir/renew" >"$dir/drill.out"
# The master key came from escrow to the spare, was the same, and left it.
[ "$(jq -r 'select(.type == "unwrap" and .from == "escrow-2026-01") | "\(.id) \(.token)"' "$dir/drill/transcript.jsonl")" = \
    "kek-2026-01 S" ] || wrong "nothing came from escrow"
[ "$(jq -r 'select(.type == "kcv" and .id == "kek-2026-01") | .value' "$dir/drill/transcript.jsonl" | sort -u)" = \
    "$(jq -r 'select(.type == "kcv" and .id == "kek-2026-01") | .value' "$first/transcript.jsonl" | sort -u)" ] ||
    wrong "another master key came from escrow"
tool S --list-objects --type secrkey >"$dir/objects"
grep -q kek-2026-01 "$dir/objects" && wrong "the master key is still on the spare"
tool S --list-objects --type privkey >"$dir/objects"
grep -q escrow "$dir/objects" && wrong "the escrow key is still on the spare"
grep -q transport-S "$dir/objects" || wrong "pkcs11-tool does not see the spare's keys"

before=$(cat "$first/rehearsal/tokens/V.user-pin")
set_of() { # folder: the set of shares of the PIN of V
    jq -r 'select(.type == "share-commit" and .token == "V") | .set' "$1/transcript.jsonl"
}
[ "$(jq 'select(.type == "share-verify") | .number' "$dir/drill/transcript.jsonl" | sort | uniq -c | wc -l)" = 5 ] ||
    wrong "the drill did not check all shares"
share_1=$first/rehearsal/tokens/V.set-$(set_of "$first").share-1
share=$(cat "$share_1")

# The KMS of a site gets its PIN from shares, and from nobody who knows it.
"$ceremony" pin --answers auto "$dir/drill" A >"$dir/pin"
tool A --list-objects >"$dir/objects" || wrong "A does not take its PIN"
cmp "$dir/pin" "$first/rehearsal/tokens/A.user-pin" || wrong "another PIN of A"
[ "$(wc -c <"$dir/pin")" = 32 ] || wrong "a PIN of $(wc -c <"$dir/pin") octets"
refused 1 "has no token B" "$ceremony" pin --answers auto "$dir/drill" B
refused 2 "no PIN is shown at a terminal" script -qec "'$ceremony' pin --answers auto '$dir/drill' A" /dev/null
jq 'select(.at != "close")' -c "$dir/drill/journal.jsonl" >"$dir/journal"
cp -r "$dir/drill" "$dir/open"
cp "$dir/journal" "$dir/open/journal.jsonl"
refused 7 "is not closed" "$ceremony" pin --answers auto "$dir/open" A
so_pin=$(cat "$first/rehearsal/tokens/A.so-pin")
[ "$so_pin" != "$(cat "$dir/pin")" ] || wrong "one PIN for both"
rehearse "$dir/custodians" "$scripts/custodian-change.yaml" --after "$dir/drill" >"$dir/custodians.out"
[ "$before" != "$(cat "$first/rehearsal/tokens/V.user-pin")" ] || wrong "the PIN of V is the same"
[ "$(set_of "$first")" != "$(set_of "$dir/custodians")" ] || wrong "the set of shares is the same"
for folder in "$first" "$dir/drill" "$dir/custodians"; do
    grep -rqF --exclude-dir=rehearsal -e "$share" -e "$before" "$folder" && wrong "a share or a PIN is in $folder"
done
# What lies in escrow comes back after that; not if it was changed meanwhile, or by shares of before.
recover() { # name, function of jq that changes the state
    mkdir "$dir/$1.before"
    jq -c "$2" "$dir/custodians/journal.jsonl" >"$dir/$1.before/journal.jsonl"
    cp "$dir"/custodians/registry-*.jsonl "$dir/$1.before"
    rehearse "$dir/$1" "$(dirname "$0")/ceremony-recover.yaml" --after "$dir/$1.before"
}
changed() { # path below .state, function of jq
    echo "if .at == \"close\" then .state$1 |= ($2) else . end"
}
blob='.keys["canary-2026-01"].escrowed["escrow-2026-01"]' sealed='.escrow["escrow-2026-01"].sealed'
refused 7 "does not verify" recover bad-blob "$(changed "$blob" 'sub("\"to\":\"e"; "\"to\":\"E")')"
refused 7 "of another key, template or recipient" recover other-blob "$(changed "$blob" "$(jq '.state.keys["kek-2026-01"].escrowed["escrow-2026-01"]' <(tail -n 1 "$dir/custodians/journal.jsonl"))")"
refused 7 "does not verify" recover bad-sealed "$(changed "$sealed" 'sub("ENCRYPTED PRIVATE KEY-----"; "ENCRYPTED PRIVATE KEY----- ")')"
refused 7 "do not open the escrow key" recover old-sealed "$(changed "$sealed" "$(jq "select(.at == \"close\") | .state$sealed" "$dir/drill/journal.jsonl")")"
recover good . >"$dir/good.out"
"$verify" --rehearsal "$first" "$dir/rotate" "$dir/destroy" "$dir/renew" "$dir/drill" "$dir/custodians" "$dir/good" >"$dir/opinion" ||
    wrong "from escrow: $(sed -n '3,5p' "$dir/opinion")"
for folder in bad-blob other-blob bad-sealed old-sealed; do
    "$ceremony" abort --answers auto "$dir/$folder" >/dev/null 2>&1 || [ $? = 6 ] || wrong "$folder is not aborted"
done
# Somebody brings the share of before.
share_1=$first/rehearsal/tokens/V.set-$(set_of "$dir/custodians").share-1
cp "$share_1" "$dir/share"
printf %s "$share" >"$share_1"
refused 7 "this is a share of set $(set_of "$first")" rehearse "$dir/old-share" "$scripts/destroy-tpk.yaml" --after "$dir/custodians"
cp "$dir/share" "$share_1"
for token in A B V; do
    [ "$so_pin" != "$(cat "$first/rehearsal/tokens/$token.so-pin")" ] || wrong "the PIN of $token is that of before"
done
rehearse "$dir/compromise" "$scripts/compromise-tpk.yaml" --after "$dir/custodians" >"$dir/compromise.out"
[ "$(state "$dir/compromise" tpk-2026-02)" = compromised ] || wrong "tpk-2026-02 is not compromised"

# --- Two people change a state ---

registry=$dir/compromise/registry.jsonl
keys=$dir/compromise/keys
change() { # key file, key file, key, state
    "$ceremony" state --registry "$registry" --signer "$first/keys/csk-2026-01.pem" \
        --signer "$keys/IW-1.pem" --signer "$keys/EW-1.pem" --key "$1" --key "$2" "$3" "$4"
}
iw=$dir/compromise/rehearsal/IW-1.key.pem ew=$dir/compromise/rehearsal/EW-1.key.pem
cp "$registry" "$dir/registry.before"
refused 7 "two different signers" change "$iw" "$iw" tpk-2026-03 deactivated
refused 7 "two different signers" change "$iw" "$first/rehearsal/IW-1.key.pem" tpk-2026-03 deactivated
refused 7 "tpk-2026-02" change "$iw" "$ew" tpk-2026-02 active
refused 1 "tpk-1999" change "$iw" "$ew" tpk-1999-01 active
refused 7 "in a ceremony" change "$iw" "$ew" tpk-2026-02 destroyed
refused 2 "is no state" change "$iw" "$ew" tpk-2026-02 lost
cmp "$registry" "$dir/registry.before" || wrong "a refused change wrote the registry"
change "$iw" "$ew" tpk-2026-03 deactivated >/dev/null
[ "$(state "$dir/compromise" tpk-2026-03)" = deactivated ] || wrong "tpk-2026-03 is not deactivated"
signatures "$registry" "$dir/compromise" 2
sed -i '1s/"deactivated"/"active"/' "$registry"
refused 7 "" change "$iw" "$ew" tpk-2026-03 compromised
echo "all is well"
