#!/usr/bin/env bash
# An HSM with a TPM behind it: new tickets are made with the HSM's key; while it is away, with the
# TPM's. Stored keys are the TPM's affair, so that they can be opened in both cases.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3 mock=$4
command -v swtpm >/dev/null || { echo "skipped: swtpm is missing"; exit 77; }
. "$(dirname "$0")/daemon.sh"
. "$(dirname "$0")/mock.sh"
. "$(dirname "$0")/../../tools/software_tpm.sh"
trap 'daemon_stop; software_tpm_stop; rm -rf "$dir"' EXIT

offer() { # name: $dir/NAME.offer, and prints the id of the key that its ticket was made with
    "$tbs" request --account "$dir/alice.json" --to sip:bob@example.net --out "$dir/$1.ticket" \
        --received "$dir/$1.mikey" >/dev/null
    "$tbs" offer --ticket "$dir/$1.ticket" --to sip:bob@example.net --out "$dir/$1.offer"
    LC_ALL=C grep -ao 'tpk-[0-9a-z-]*' "$dir/$1.mikey"
}
resolve() { # name
    "$tbs" resolve --account "$dir/bob.json" --offer "$dir/$1.offer" --out "$dir/$1.resolved" \
        >/dev/null
    rm "$dir/$1.resolved"
}
await_key() { # id: new tickets are made with it
    for _ in $(seq 100); do
        rm -f "$dir"/probe.*
        [ "$(offer probe 2>/dev/null)" != "$1" ] || return 0
        sleep 0.1
    done
    wrong "no ticket is made with $1: $(tail -5 "$dir/kmsd.log")"
}
state() { # of the service, as the operator sees it
    curl -s "$management/metrics" | sed -n "s/^tbs_token_state{token=\"$1\",state=\"\(.*\)\"} 1/\1/p"
}

# --- Keys whose names say which is preferred: the last one ---

mkdir -m 700 "$dir/tpm"
software_tpm_swtpm "$dir/tpm"
"$admin" init "$dir/fallback" --token tpm --tcti "swtpm:path=$dir/tpm/socket" >/dev/null
rm "$dir/fallback/tokens"/{tpk,kek,audit}-*
"$admin" -c "$dir/fallback/tbs-kmsd.yaml" keys generate tpk --id tpk-0-tpm >/dev/null
"$admin" -c "$dir/fallback/tbs-kmsd.yaml" keys generate kek --alg hmac --id kek-tpm >/dev/null
daemon_init
hsm_key=$(adm keys | awk '$3 == "HMAC-SHA-256" && $2 == "TPK" {print $1}')
[[ tpk-0-tpm < $hsm_key ]] || wrong "the HSM's key is $hsm_key"
mock_configure
without_registry
sed -i "s|^store:|  more_tokens:\n    - backend: tpm\n      tcti: swtpm:path=$dir/tpm/socket\n\
      keys: $dir/fallback/tokens\n      pin: file:$dir/fallback/user.pin\n&|" "$kms/tbs-kmsd.yaml"
for name in alice bob; do
    adm subscriber add "sip:$name@example.net" --psk-id "$name-1" --psk-out "$dir/$name.psk" \
        --account-out "$dir/$name.json" --url http://127.0.0.1:1/mikey
done
grep -q "kek-tpm: 2" <<<"$(adm status)" || wrong "stored keys are not under the TPM's KEK: $(adm status)"
daemon_start
sed -i "s|http://[^\"]*|$mikey_url|" "$dir"/*.json

# --- Both ---

[ "$(offer hsm)" = "$hsm_key" ] || wrong "not made with the HSM's key"
resolve hsm

# --- The HSM is away ---

mock_script <<<"device removed"
await_key tpk-0-tpm
[ "$(offer tpm)" = tpk-0-tpm ] || wrong "not made with the TPM's key"
resolve tpm
! resolve hsm 2>"$dir/said" || wrong "a ticket of the HSM's key was opened without the HSM"
grep -q 503 "$dir/said" || wrong "another answer than 503: $(cat "$dir/said")"
[ "$(state tbs-A) $(state tbs)" = "down up" ] || wrong "HSM and TPM: $(state tbs-A) $(state tbs)"
curl -sSf "$management/readyz" >/dev/null || wrong "the service is not ready"

# --- It is back ---

mock_script </dev/null
await_key "$hsm_key"
resolve hsm
resolve tpm

# --- The TPM is away: nobody's key can be opened ---

software_tpm_kill swtpm
! offer nobody >/dev/null 2>"$dir/said" || wrong "a ticket without the TPM's KEK"
grep -q 503 "$dir/said" || wrong "another answer than 503: $(cat "$dir/said")"
software_tpm_swtpm "$dir/tpm"
await_key "$hsm_key"
resolve hsm
resolve tpm
daemon_stop
