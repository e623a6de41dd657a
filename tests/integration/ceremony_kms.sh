#!/usr/bin/env bash
# A KMS with the tokens of a ceremony: what site A's made, site B's opens; after the rotation, too.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3 ceremony=$4 scripts=$5
. "$(dirname "$0")/daemon.sh"
softhsm=/usr/lib/softhsm/libsofthsm2.so

rehearse() { # folder, script, options...
    "$ceremony" run --rehearse --answers auto --script "$scripts/$2.yaml" "${@:3}" "$1" >"$1.out" 2>&1 ||
        wrong "$2: $(tail -n 3 "$1.out")"
}
at_site() { # token, folder of the ceremony: the daemon's configuration
    cat >"$kms/tbs-kmsd.yaml" <<YAML
kms:
  identity: sip:kms@example.net
custody:
  module: $softhsm
  uri: "pkcs11:token=tbs-$1"
  pin: file:$first/rehearsal/tokens/$1.user-pin
  environment: [SOFTHSM2_CONF=$first/rehearsal/tokens/softhsm2.conf]
  registry:
    file: $2/registry.jsonl
    signers: [$first/keys/csk-2026-01.pem, $2/keys/IW-1.pem]
    need: 2
    rehearsal: true
store:
  path: $store
server:
  listen: 127.0.0.1:0
  management: 127.0.0.1:0
  address_file: addresses
YAML
    daemon_stop
    daemon_start
    sed -i "s|http://[^\"]*|$mikey_url|" "$dir"/*.json
}
user() { # name
    adm subscriber add "sip:$1@example.net" --psk-id "$1-1" --psk-out "$dir/$1.psk" \
        --account-out "$dir/$1.json" --url "$mikey_url"
}
offer() { # name: $dir/NAME.offer, and prints the id of the key that its ticket was made with
    "$tbs" request --account "$dir/alice.json" --to sip:bob@example.net --out "$dir/$1.ticket" \
        --received "$dir/$1.mikey" >/dev/null
    "$tbs" offer --ticket "$dir/$1.ticket" --to sip:bob@example.net --out "$dir/$1.offer"
    LC_ALL=C grep -ao 'tpk-[0-9a-z-]*' "$dir/$1.mikey"
}
resolve() { # name
    rm -f "$dir/$1.resolved"
    "$tbs" resolve --account "$dir/bob.json" --offer "$dir/$1.offer" --out "$dir/$1.resolved" >/dev/null
}

first=$dir/first
rehearse "$first" initialise-and-generate
daemon_init # for its store; the token that comes with it is not used
store=$(sed -n "s/^ *path: //p" "$kms/tbs-kmsd.yaml" | head -n 1)
echo '{}' >"$dir/none.json"
at_site A "$first"
rm "$dir/none.json"
user alice
user bob
made=$(offer at-a)
[ "$made" = tpk-2026-01 ] || wrong "the ticket was made with $made"
resolve at-a || wrong "A does not open its own ticket"

# A is gone.
at_site B "$first"
resolve at-a || wrong "B does not open what A made"
[ "$(offer at-b)" = tpk-2026-01 ] || wrong "B made a ticket with another key"

# The rotation: new tickets with the new key, old ones are opened.
daemon_stop
rehearse "$dir/rotate" rotate-tpk --after "$first"
at_site A "$dir/rotate"
[ "$(offer rotated)" = tpk-2026-02 ] || wrong "the key in reserve is not in use"
resolve at-b || wrong "a ticket of before the rotation is not opened"
resolve rotated || wrong "a ticket of after the rotation is not opened"

# The end of the old key is that of its tickets.
daemon_stop
rehearse "$dir/destroy" destroy-tpk --after "$dir/rotate"
at_site B "$dir/destroy"
resolve rotated || wrong "B does not open a ticket of the new key"
if resolve at-a 2>/dev/null; then wrong "a ticket outlives its key"; fi
echo "all is well"
