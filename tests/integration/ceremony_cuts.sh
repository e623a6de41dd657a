#!/usr/bin/env bash
# A ceremony is cut off, as by a power cut, after each call of each function that changes a token;
# then it is resumed, or aborted.
set -euo pipefail
ceremony=$1 mock=$2 verify=$3
. "$(dirname "$0")/ceremony_common.sh"
script=$(dirname "$0")/ceremony-short.yaml
first=$dir/none
export MOCK_PKCS11_MODULE=$softhsm MOCK_PKCS11_SCRIPT=$dir/mock.script

cut_after() { # function, n: the ceremony's status
    if [ "$2" = 0 ]; then echo "kill $1"; else echo "kill $1 after $2"; fi >"$MOCK_PKCS11_SCRIPT"
    local status=0
    ("$ceremony" run --rehearse --answers auto --module "$mock" --script "$script" "$dir/run" \
        >"$dir/out" 2>&1) 2>/dev/null || status=$?
    : >"$MOCK_PKCS11_SCRIPT"
    return $status
}

# What is on a token, by the record of its last inventory.
tool() { # token, arguments...
    SOFTHSM2_CONF=$dir/run/rehearsal/tokens/softhsm2.conf pkcs11-tool --module "$softhsm" \
        --token-label "tbs-$1" --login --pin "$(cat "$dir/run/rehearsal/tokens/$1.user-pin")" "${@:2}" 2>/dev/null
}

resume() {
    "$ceremony" resume --answers auto "$dir/run" >"$dir/out" 2>&1 ||
        wrong "after $1 call $2: not resumed: $(tail -n 2 "$dir/out")"
    [ "$(head -n 1 "$dir/run/registry.jsonl" | jq -r '.keys | map(.id) | join(" ")')" = "csk-1 tpk-1" ] ||
        wrong "after $1 call $2: the registry is not whole"
    [ "$(tool A --list-objects | grep -c 'label:')" = 4 ] || wrong "after $1 call $2: more or less on A"
    [ "$(tool B --list-objects | grep -c 'label:')" = 3 ] || wrong "after $1 call $2: more or less on B"
    [ "$(jq -r 'select(.type == "resume") | .type' "$dir/run/transcript.jsonl")" = resume ] ||
        wrong "after $1 call $2: the record does not tell that it was resumed"
    "$verify" --rehearsal "$dir/run" >"$dir/opinion" ||
        wrong "after $1 call $2: $(sed -n '3,5p' "$dir/opinion")"
}

abort() {
    refused 6 "aborted and closed" "$ceremony" abort --answers auto "$dir/run"
    [ "$(jq -r 'select(.type == "abort") | .type' "$dir/run/transcript.jsonl" | tail -n 1)" = abort ] ||
        wrong "after $1 call $2: the record does not tell that it was aborted"
    refused 7 "is closed" "$ceremony" resume --answers auto "$dir/run"
    refused 1 "the ceremony was aborted" "$verify" --rehearsal "$dir/run"
}

cuts=0 n_resumed=0 n_aborted=0
for function in C_InitToken C_InitPIN C_GenerateKey C_GenerateKeyPair C_CreateObject C_CopyObject \
    C_WrapKey C_UnwrapKey C_DestroyObject; do
    n=0
    while :; do
        rm -rf "$dir/run"
        status=0
        cut_after $function $n || status=$?
        [ $status != 0 ] || break
        [ $status = 137 ] || wrong "$function, call $((n + 1)): status $status: $(tail -n 2 "$dir/out")"
        n=$((n + 1)) cuts=$((cuts + 1))
        if [ $((cuts % 3)) = 0 ]; then
            abort $function $n
            n_aborted=$((n_aborted + 1))
        else
            resume $function $n
            chain "$dir/run"
            n_resumed=$((n_resumed + 1))
        fi
    done
    [ $n -gt 0 ] || wrong "$function was never called"
done
[ $cuts -ge 15 ] || wrong "only $cuts cuts"

# --- What must not be resumed ---

cut() {
    rm -rf "$dir/run"
    if cut_after C_CopyObject 0; then wrong "it was not cut off"; fi
}
cut
echo "# one octet more" >>"$dir/run/ceremony.yaml"
refused 7 "ceremony.yaml is not the one" "$ceremony" resume --answers auto "$dir/run"
refused 7 "ceremony.yaml is not the one" "$ceremony" abort --answers auto "$dir/run"
cut
sed -i 's/^clock: .*/clock: another/' "$dir/run/site.yaml"
refused 7 "site.yaml is not the one" "$ceremony" resume --answers auto "$dir/run"
cut
cp "$ceremony" "$dir/other"
printf 'x' >>"$dir/other"
refused 7 "this program is not the one" "$dir/other" resume --answers auto "$dir/run"
cut
sed -i '3s/"prev":"./"prev":"x/' "$dir/run/transcript.jsonl"
refused 1 "line 3 of the transcript" "$ceremony" resume --answers auto "$dir/run"
cut
sed -i '2s/.*/{}/' "$dir/run/journal.jsonl"
refused 1 "line 2 of the journal" "$ceremony" resume --answers auto "$dir/run"
cut # on token A, in the step that makes the canary; nothing may be new on B
tool B --keygen --key-type aes:32 --label planted >/dev/null
refused 7 "token B has 1 objects that no step made" "$ceremony" resume --answers auto "$dir/run"
cut
tool B --delete-object --type pubkey --label transport-B >/dev/null
refused 7 "token B has lost 1 objects" "$ceremony" resume --answers auto "$dir/run"

echo "$cuts cuts: $n_resumed resumed, $n_aborted aborted"
