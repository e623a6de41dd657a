#!/usr/bin/env bash
# A token is tried and measured, and afterwards it is as before: also when that was cut short.
set -euo pipefail
admin=$1 kmsd=$2 faulty=$3
. "$(dirname "$0")/daemon.sh"

objects() { # of the token, as another program sees them
    SOFTHSM2_CONF=$kms/tokens/softhsm2.conf USER_PIN=$(cat "$kms/tokens/A.user-pin") pkcs11-tool \
        --module "$(sed -n 's/^ *module: //p' "$kms/tbs-kmsd.yaml")" --login \
        --pin env:USER_PIN --list-objects 2>/dev/null | sed -n 's/^ *ID: *//p' | sort
}
test_id=746573742d # "test-"
as_before() { # what was done
    [ "$(objects)" = "$before" ] || wrong "after $1 the token holds: $(objects)"
}
await_throw_away() { # until one is complete: looked at from outside, since a login may disturb
    for _ in $(seq 200); do
        [ "$(find "$kms/tokens" -name '*.object' | wc -l)" -gt "$((files + 1))" ] && return
        sleep 0.05
    done
    wrong "no throw-away key is to be seen: $(cat "$dir/cut")"
}
token_test() {
    local status=0
    adm token-test "$@" >"$dir/test" || status=$?
    [ $status = 4 ] || wrong "token-test: status $status: $(cat "$dir/test")"
}

says() { # file in $dir, pattern
    grep -q "$2" "$dir/$1" || wrong "no '$2' in: $(cat "$dir/$1")"
}

daemon_init
before=$(objects)
files=$(find "$kms/tokens" -name '*.object' | wc -l)
[ "$(wc -l <<<"$before")" = 7 ] || wrong "not three secret keys and two key pairs: $before"

# --- SoftHSM is fit, with its one remark ---

token_test
[ "$(grep -c '^  remark ' "$dir/test")" = 1 ] || wrong "not one remark: $(cat "$dir/test")"
says test '^  remark .*C_DigestKey'
says test '^  refused *wrap a key out .*CKR_KEY_UNEXTRACTABLE'
says test 'fit for the KMS, with 1 remark'
! grep -qP '\e' "$dir/test" || wrong "colours in a file"
as_before token-test

token_test --json
python3 - "$dir/test" <<'END'
import json, sys
rows = json.load(open(sys.argv[1]))
assert len(rows) > 25 and len({row["check"] for row in rows}) == len(rows), rows
assert {row["verdict"] for row in rows} == {"ok", "refused", "remark"}, rows
END

# --- Measured ---

adm token-bench --sessions 3 >"$dir/bench"
[ "$(awk '$1 ~ /^[0-9]+$/ {print $1}' "$dir/bench" | paste -sd' ')" = "1 2 3" ] ||
    wrong "not 1, 2 and 3 sessions: $(cat "$dir/bench")"
[ "$(grep -c ' best' "$dir/bench")" = 1 ] || wrong "not one best: $(cat "$dir/bench")"
says bench 'carries [1-9][0-9]* Ticket Requests or [1-9][0-9]* Ticket Resolves'
as_before token-bench
refused 1 "--sessions wants a number from 1 to 64" adm token-bench --sessions 65
refused 1 "--seconds wants" adm token-bench --seconds 1x

# --- Cut short ---

for signal in INT TERM; do
    # In a shell's background SIGINT is ignored; env gives it back.
    env --default-signal=INT "$admin" -c "$kms/tbs-kmsd.yaml" token-bench --seconds 60 \
        >"$dir/cut" 2>&1 &
    cut=$!
    await_throw_away
    kill -$signal $cut
    status=0
    wait $cut || status=$?
    [ $status -gt 128 ] || wrong "after SIG$signal: status $status: $(cat "$dir/cut")"
    as_before "SIG$signal"
done

"$admin" -c "$kms/tbs-kmsd.yaml" token-bench --seconds 60 >"$dir/cut" 2>&1 &
cut=$!
await_throw_away
kill -KILL $cut
wait $cut 2>/dev/null || true
grep -q "^$test_id" <<<"$(objects)" || wrong "SIGKILL left nothing; is the test still one?"
daemon_start # they are in nobody's way
daemon_stop
token_test
says test 'throw-away keys\? of a test that was interrupted removed'
as_before "SIGKILL and another run"

# --- A dangerous one: as if SoftHSM wrapped keys that are not extractable ---

sed "s|module: .*|module: $faulty|; s|environment: \[|&FAULTY_LENIENT=C_WrapKey, |" \
    "$kms/tbs-kmsd.yaml" >"$kms/faulty.yaml"
refused 5 "DANGER   wrap a key out" "$admin" -c "$kms/faulty.yaml" token-test
refused 5 "This token is DANGEROUS: 2 of" "$admin" -c "$kms/faulty.yaml" token-test
as_before "a dangerous token"

# --- A token that cannot be opened is a failure, not a verdict ---

echo wrong-pin >"$kms/tokens/A.user-pin"
refused 3 "CKR_PIN_INCORRECT" adm token-test
