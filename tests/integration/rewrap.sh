#!/usr/bin/env bash
# Stored keys move from an HMAC KEK to one for AES-GCM and back while the KMS is asked all the time:
# no message is refused, whatever ends the move it goes on, and what others did meanwhile stays.
set -euo pipefail
admin=$1 kmsd=$2 mock=$3 load=$4
others=70 # devices, more than one batch
. "$(dirname "$0")/daemon.sh"
. "$(dirname "$0")/mock.sh"

tell() { # a line for the load; its answer goes to $said
    echo "$*" >&8
    read -r said <&9 || wrong "the load ended at '$*'"
}

new_kek() { # template, id; the daemon has it, too
    sed -e "s/kek-2026-01/$before/; s/kek-2026-02/$2/" -e "/id: $2/s/kek-hmac-sha256-v1/$1/" -e '/do: inventory/d' \
        "$ceremonies/one-token-rotate-kek.yaml" >"$dir/$2.yaml"
    ceremony "$dir/$2.yaml"
    kill -HUP "$kmsd_pid"
    sleep 0.5
}

stored() { # KEK: how many keys it protects
    /usr/bin/python3 - "$kms/store.sqlite" "$1" <<'END'
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=10) as db:
    print(db.execute("SELECT count(*) FROM credential WHERE instr(wrapped, CAST(? AS BLOB)) = 4",
                     (sys.argv[2],)).fetchone()[0])
END
}

rewrap() { # status, KEK, moved, failed, left
    local status=0 said
    said=$(adm keys rewrap --json 2>"$dir/rewrap.log" | tr -d ' \n') || status=$?
    [ "$status" = "$1" ] || wrong "rewrap: exit status $status: $(cat "$dir/rewrap.log")"
    [[ $said == *"\"kek\":\"$2\",\"moved\":\"$3\",\"failed\":\"$4\",\"left\":\"$5\""* ]] ||
        wrong "rewrap: $said"
}

in_the_middle() { # signal: ends the move by it after the first batch; the token is slow
    local status=0
    MOCK_PKCS11_SCRIPT=$dir/slow.script "$admin" --config "$kms/tbs-kmsd.yaml" keys rewrap \
        >"$dir/out" 2>&1 &
    local pid=$!
    for _ in $(seq 200); do
        [ "$(stored "$kek")" = 0 ] || break
        sleep 0.02
    done
    kill "-$1" "$pid" || wrong "it was over too soon: $(cat "$dir/out")"
    wait "$pid" || status=$?
    [ "$status" != 0 ] || wrong "was not ended by $1: $(cat "$dir/out")"
    [ "$(stored "$kek")" -gt 0 ] && [ "$(stored "$before")" -gt 0 ] ||
        wrong "not in the middle: $(stored "$kek") moved, $(stored "$before") left"
}

daemon_init
for name in alice bob $(seq $others); do
    subscriber "$name"
done
all=$((others + 2))
before=$(adm keys | awk '$2 == "KEK" { print $1 }')
grep -q "stored keys.*$before: $all\$" <<<"$(adm status)" || wrong "$(adm status)"
[ "$(stored "$before")" = $all ] || wrong "$(stored "$before") keys under $before instead of $all"
rewrap 0 "$before" 0 0 0
mock_configure
echo "delay C_SignInit 15
delay C_DecryptInit 15" >"$dir/slow.script"
daemon_start
coproc LOAD { "$load" "$(sed -n 1p "$kms/addresses")" "$dir" 200; }
load_pid=$LOAD_PID
exec 8>&"${LOAD[1]}"- 9<&"${LOAD[0]}"-

echo "From HMAC to AES-GCM, killed and interrupted"
tell row move
kek=kek-9999-01
new_kek kek-aes-256-gcm-v1 $kek
in_the_middle KILL
adm subscriber remove sip:70@example.net
subscriber carol
before_int=$(stored "$kek")
adm keys rewrap --json >"$dir/out"
[ "$(stored "$kek")" = $all ] && [ "$(stored "$before")" = 0 ] || wrong "$(cat "$dir/out")"
[ "$before_int" -lt $all ] || wrong "nothing was left to move"
destroy_key "$before"
kill -HUP "$kmsd_pid"
sleep 0.5

echo "From AES-GCM to HMAC, one key damaged"
before=$kek kek=kek-9999-02
new_kek kek-hmac-sha256-v1 $kek
in_the_middle INT
grep -q "the same command goes on" "$dir/out" || wrong "$(cat "$dir/out")"
/usr/bin/python3 - "$kms/store.sqlite" <<'END'
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=10) as db:
    psk, blob = db.execute("SELECT psk_id, wrapped FROM credential WHERE psk_id = '9-1'").fetchone()
    db.execute("UPDATE credential SET wrapped = ? WHERE psk_id = ?", (blob[:-1] + bytes([blob[-1] ^ 1]), psk))
END
left=$(stored "$before")
rewrap 1 $kek $((left - 1)) 1 1
grep -q "key 9-1 of sip:9@example.net stays as it is: .*was changed" "$dir/rewrap.log" ||
    wrong "$(cat "$dir/rewrap.log")"
tell over
sleep 0.3
tell end
read -r _ answered refused wrong_answers _ <<<"$said"
[ "$answered" -gt 100 ] && [ "$refused" = 0 ] && [ "$wrong_answers" = 0 ] || wrong "the load: $said"
exec 8>&- 9<&-
wait "$load_pid" || wrong "the load was not answered as it must be"
