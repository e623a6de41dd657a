#!/usr/bin/env bash
# An independent MIKEY-TICKET implementation requests and resolves tickets at tbs-kmsd: both
# suites, with and without forking, several keys, group keys, and what must be refused.
set -euo pipefail
admin=$1 kmsd=$2 peer=$3
. "$(dirname "$0")/daemon.sh"

daemon_init
for name in alice bob mallory; do
    subscriber $name
done
adm group add sip:team@example.net --name "The team"
adm group join sip:team@example.net sip:bob@example.net
daemon_start

for responder in sip:bob@example.net sip:team@example.net; do
    echo "Responder: $responder"
    /usr/bin/python3 "$peer" "$mikey_url" --kms-id sip:kms@example.net --responder "$responder" \
        --alice sip:alice@example.net --alice-psk-id alice-1 --alice-psk-file "$dir/alice.psk" \
        --bob sip:bob@example.net --bob-psk-id bob-1 --bob-psk-file "$dir/bob.psk" \
        --mallory sip:mallory@example.net --mallory-psk-id mallory-1 \
        --mallory-psk-file "$dir/mallory.psk" --suites 256,128
done

curl -sSf "$management/readyz"
curl -sSf "$management/metrics" >"$dir/metrics"
grep -q '^tbs_token_calls_total [1-9]' "$dir/metrics"
kill -TERM "$kmsd_pid"
wait "$kmsd_pid" || { echo "tbs-kmsd ended with status $?" >&2; cat "$dir/kmsd.log" >&2; exit 1; }
kmsd_pid=
