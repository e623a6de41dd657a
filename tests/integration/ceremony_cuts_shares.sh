#!/usr/bin/env bash
# A ceremony that splits PINs is cut off after each call of each function that has to do with them.
# Resumed or aborted, it knows afterwards which shares the token's PINs are in: the ceremony that
# follows rebuilds them, and sets others.
set -euo pipefail
ceremony=$1 mock=$2 verify=$3
. "$(dirname "$0")/ceremony_common.sh"
here=$(dirname "$0")
export MOCK_PKCS11_MODULE=$softhsm MOCK_PKCS11_SCRIPT=$dir/mock.script

cut_after() { # function, n: the ceremony's status
    if [ "$2" = 0 ]; then echo "kill $1"; else echo "kill $1 after $2"; fi >"$MOCK_PKCS11_SCRIPT"
    local status=0
    rm -rf "$dir/run" "$dir/next"
    ("$ceremony" run --rehearse --answers auto --module "$mock" --script "$here/ceremony-split.yaml" \
        "$dir/run" >"$dir/out" 2>&1) 2>/dev/null || status=$?
    : >"$MOCK_PKCS11_SCRIPT"
    return $status
}

sets() { # so or user: what may hold that PIN, by the last state
    tail -n 1 "$dir/run/journal.jsonl" | jq -c ".state.shares.A.$1 // [] | map(.set)"
}

next() { # what was cut
    rehearse "$dir/next" "$here/ceremony-split-next.yaml" --after "$dir/run" >"$dir/out" 2>&1 ||
        wrong "$1: what follows: $(tail -n 2 "$dir/out")"
    local state
    state=$(tail -n 1 "$dir/next/journal.jsonl" | jq -c .state.shares.A)
    [ "$(jq -c '[.so, .user] | map(length)' <<<"$state")" = '[1,1]' ] || wrong "$1: in doubt after all: $state"
    [ "$(jq .so[0].set <<<"$state")" = "$(jq .user[0].set <<<"$state")" ] || wrong "$1: two sets: $state"
}

resume() { # what was cut
    "$ceremony" resume --answers auto "$dir/run" >"$dir/out" 2>&1 ||
        wrong "$1: not resumed: $(tail -n 2 "$dir/out")"
    [ "$(sets so)" = "$(sets user)" ] || wrong "$1: in sets $(sets so) and $(sets user)"
    "$verify" --rehearsal "$dir/run" >"$dir/opinion" || wrong "$1: $(sed -n '3,5p' "$dir/opinion")"
}

abort() { # what was cut
    refused 6 "aborted and closed" "$ceremony" abort --answers auto "$dir/run"
    case "$1" in
    "C_InitPIN call 2") # it was done, and nobody knows: the new set, or the one of before
        [ "$(sets user | jq length)" = 2 ] || wrong "$1: no doubt about the user's PIN: $(sets user)"
        [ "$(sets so | jq length)" = 1 ] || wrong "$1: the other PIN: $(sets so)" ;;
    "C_SetPIN call 2")
        [ "$(sets so | jq length)" = 2 ] || wrong "$1: no doubt about the PIN: $(sets so)"
        [ "$(sets user | jq length)" = 1 ] || wrong "$1: the user's PIN: $(sets user)" ;;
    esac
}

cuts=0
for function in C_InitToken C_InitPIN C_SetPIN C_GenerateRandom C_CreateObject C_UnwrapKey \
    C_DestroyObject C_Login C_Logout; do
    n=0
    while :; do
        # After a login there is nothing that the other calls did not leave: one of both is enough.
        both="resume abort"
        [[ $function != C_Log* ]] || both=$([ $((n % 2)) = 0 ] && echo resume || echo abort)
        for then in $both; do
            status=0
            cut_after $function $n || status=$?
            [ $status != 0 ] || break 2
            [ $status = 137 ] || wrong "$function, call $((n + 1)): status $status: $(tail -n 2 "$dir/out")"
            # Closed by then: nothing is left to do.
            [ "$(tail -n 1 "$dir/run/journal.jsonl" | jq -r .at)" != close ] || break 2
            $then "$function call $((n + 1))"
            next "$function call $((n + 1)), $then"
            cuts=$((cuts + 1))
        done
        n=$((n + 1))
    done
    [ $n -gt 0 ] || wrong "$function was never called"
    echo "$function: $n calls"
done
echo "$cuts cuts"
