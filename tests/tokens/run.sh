#!/usr/bin/env bash
# The same tests on one kind of token: custody's essentials, then the daemon with an independent
# peer. TOKEN.sh beside this file makes a private token; it sets
#   module, uri, pin              what the configuration needs
#   tcti, keys                    of a TPM, in place of module and uri
#   environment, init_args, quirks  where it needs them
#   kek                           hmac where the token has no AES-GCM
#   suites                        what the daemon offers: one where the token is slow
#   has_keys                      where tbs-admin cannot make keys in it
#   token_pids                    what is to be stopped
# and may have a token_check, which asks others about the keys.
# Ends with 77 where a package or a right is missing.
set -euo pipefail
token=$1 admin=$2 kmsd=$3 essentials=$4 peer=$5

skip() { echo "skipped: $*"; exit 77; }
need() { # program, package
    command -v "$1" >/dev/null || skip "$1 is missing; package $2 has it"
}
module_path() { # file, package
    local found
    found=$(compgen -G "/usr/lib/*/$1") || skip "$1 is missing; package $2 has it" >&2
    echo "$found"
}
wait_for() { # file
    for _ in $(seq 100); do
        [ -s "$1" ] || [ -S "$1" ] && return
        sleep 0.05
    done
    echo "$1 did not come" >&2
    exit 1
}

. "$(dirname "$0")/$token.sh"
. "$(dirname "$0")/../integration/daemon.sh"
environment=() quirks=() token_pids=() init_args='' tcti='' kek=gcm suites=256,128 has_keys=
token_stop() {
    ! declare -F software_tpm_stop >/dev/null || software_tpm_stop
    [ ${#token_pids[@]} -eq 0 ] || kill "${token_pids[@]}" 2>/dev/null || true
}
trap 'daemon_stop; token_stop; rm -rf "$dir"' EXIT

# Store and configuration are those of tbs-admin init; the token takes SoftHSM's place.
daemon_init
token_start
printf '%s\n' "$pin" >"$dir/token.pin"
printf 'x%s\n' "${pin#?}" >"$dir/wrong.pin"
chmod 600 "$dir"/*.pin
list() { # YAML
    local IFS=,
    printf '[%s]' "${*@Q}"
}
# Not every token makes the key that signs the audit trail.
{ sed -e '/^  every_/d' -e '/^custody:/,/^store:/{/^store:/!d}' -e "s/suites: .*/suites: [$suites]/" \
      "$dir/kms/tbs-kmsd.yaml"
  printf 'custody:\n  pin: "file:%s"\n  quirks: %s\n' "$dir/token.pin" "$(list "${quirks[@]}")"
  if [ -n "$tcti" ]; then
      printf '  backend: tpm\n  tcti: "%s"\n  keys: "%s"\n' "$tcti" "$keys"
  else
      printf '  module: %s\n  uri: "%s"\n  environment: %s\n' \
          "$module" "$uri" "$(list "${environment[@]}")"
  fi
  [ -z "$init_args" ] || printf '  init_args: "%s"\n' "$init_args"
} >"$dir/token.yaml"
mv "$dir/token.yaml" "$dir/kms/tbs-kmsd.yaml"

if [ -z "$has_keys" ]; then
    adm keys generate tpk --id tpk-2026-01
    adm keys generate tpk --alg hmac-sha1 --id tpk-sha1-2026-01
    adm keys generate kek --alg "$kek" --id kek-2026-01
elif adm keys generate tpk --id tpk-2026-02 2>"$dir/refused"; then
    echo "$token makes keys itself now; let it" >&2
    exit 1
fi
adm keys
! declare -F token_check >/dev/null || token_check
TBS_CONFIG=$dir/kms/tbs-kmsd.yaml TBS_WRONG_PIN=file:$dir/wrong.pin "$essentials"

for name in alice bob mallory; do
    subscriber $name
done
adm status
"$kmsd" --check --config "$dir/kms/tbs-kmsd.yaml"
daemon_start
/usr/bin/python3 "$peer" "$mikey_url" --kms-id sip:kms@example.net \
    --responder sip:bob@example.net \
    --alice sip:alice@example.net --alice-psk-id alice-1 --alice-psk-file "$dir/alice.psk" \
    --bob sip:bob@example.net --bob-psk-id bob-1 --bob-psk-file "$dir/bob.psk" \
    --mallory sip:mallory@example.net --mallory-psk-id mallory-1 \
    --mallory-psk-file "$dir/mallory.psk" --suites "$suites" --fuzz 20
curl -sSf "$management/readyz"
curl -sSf "$management/metrics" >"$dir/metrics"
hmac=C_Sign
[ -z "$tcti" ] || hmac=TPM2_HMAC
grep -q "^tbs_token_call_seconds_count{.*function=\"$hmac\"} [1-9]" "$dir/metrics" ||
    { echo "no $hmac in the metrics" >&2; exit 1; }

# The log says what is special about this token, and of each key what could not be verified.
for quirk in "${quirks[@]}"; do
    grep -q "event=quirk quirk=$quirk " "$dir/kmsd.log" || { echo "no word of $quirk" >&2; exit 1; }
done
case "${quirks[*]}" in *no-*) excused=3 ;; *) excused=0 ;; esac
unverified=$(grep -c event=key-not-verified "$dir/kmsd.log") || true
[ "$unverified" = "$excused" ] || { echo "$unverified keys not verified" >&2; exit 1; }
daemon_stop

sed -i 's/quirks: \[/quirks: [no-worries, /' "$dir/kms/tbs-kmsd.yaml"
status=0
"$kmsd" --check --config "$dir/kms/tbs-kmsd.yaml" 2>"$dir/refused" || status=$?
[ "$status" = 3 ] && grep -q "'no-worries' is not a quirk" "$dir/refused"
