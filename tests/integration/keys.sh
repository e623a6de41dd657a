#!/usr/bin/env bash
# Keys are rotated and destroyed by the shipped ceremonies: what was made with the older key is still
# good as long as that is there, what is new is made with the newer one.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3
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
offer() { # name: $dir/NAME.offer, and prints the id of the key that its ticket was made with
    "$tbs" request --account "$dir/alice.json" --to sip:bob@example.net --out "$dir/$1.ticket" \
        --received "$dir/$1.mikey" >/dev/null
    "$tbs" offer --ticket "$dir/$1.ticket" --to sip:bob@example.net --out "$dir/$1.offer"
    LC_ALL=C grep -ao 'tpk-[0-9a-z-]*' "$dir/$1.mikey"
}
resolve() { # name
    "$tbs" resolve --account "$dir/bob.json" --offer "$dir/$1.offer" --out "$dir/$1.resolved"
}
daemon_init
daemon_start
user alice
user bob
first=$(offer before)
[ "$first" = "$(adm keys | awk '$2 == "TPK" && $3 == "HMAC-SHA-256" {print $1}')" ] || wrong "made with $first"

# --- A newer TPK ---

ceremony "$ceremonies/one-token-rotate-tpk.yaml"
second=tpk-2026-02
[ "$(offer meanwhile)" = "$first" ] || wrong "the daemon took a key without being asked"
kill -HUP "$kmsd_pid"
for i in $(seq 50); do
    after=after-$i
    [ "$(offer "$after")" != "$second" ] || break
    sleep 0.1
done
[ "$(offer after)" = "$second" ] || wrong "the newer key is not in use after SIGHUP"
for ticket in before meanwhile "$after" after; do
    resolve $ticket >/dev/null || wrong "the ticket of $ticket cannot be resolved"
done
[[ $(adm keys) =~ $first\ .*deactivated ]] || wrong "$(adm keys)"
refused 1 "made in ceremonies" adm keys generate tpk
refused 1 "not a 'psk'" adm keys generate psk

# The older one is destroyed: its tickets are gone, the others stay.
daemon_stop
ceremony "$ceremonies/one-token-destroy-tpk.yaml"
restart
rm "$dir"/*.resolved
refused 3 "Error 14" resolve before
resolve after >/dev/null

# --- A newer KEK ---

ceremony "$ceremonies/one-token-rotate-kek.yaml"
restart
user carol
for name in alice carol; do
    "$tbs" request --account "$dir/$name.json" --to sip:bob@example.net \
        --out "$dir/$name.ticket" >/dev/null || wrong "the key of $name does not open"
done
adm keys rewrap >/dev/null
grep -q "stored keys.*kek-2026-01: 0, kek-2026-02: 3\$" <<<"$(adm status)" || wrong "$(adm status)"

# --- An outsider sees the whole life of the keys ---

"$(dirname "$admin")/../tbs-ceremony-verify" --rehearsal "${records[@]}" >"$dir/opinion" ||
    wrong "$(cat "$dir/opinion")"
