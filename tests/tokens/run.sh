#!/usr/bin/env bash
# The same tests on one kind of token: custody's essentials, then the daemon with an independent
# peer. TOKEN.sh beside this file makes a private token; it sets
#   module, uri, pin              what the configuration needs
#   tcti, keys                    of a TPM, in place of module and uri
#   environment, init_args, quirks  where it needs them
#   kek                           hmac where the token has no AES-GCM
#   ends                          where a ceremony must not succeed: what it then says
#   suites                        what the daemon offers: one where the token is slow
#   has_keys                      where nothing of ours can make keys in it
#   token_pids                    what is to be stopped
# Keys come from a rehearsed ceremony on that token, and the daemon obeys its registry; what a ceremony
# must not make is made without one. It may have a token_check, which asks others about the keys.
# Ends with 77 where a package or a right is missing.
set -euo pipefail
token=$1 admin=$2 kmsd=$3 essentials=$4 peer=$5 make_key=$6
ceremony=$7 ceremonies=$8

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
environment=() quirks=() token_pids=() init_args='' tcti='' kek=gcm suites=256,128 has_keys= ends=
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

make() { # role, algorithm, id
    "$make_key" "$dir/kms/tbs-kmsd.yaml" "$@"
}
waivers() { # what people say of such a token, for the script
    local rule
    echo 'waivers:'
    for rule in R19 $([[ ${quirks[*]} != *no-local* ]] || echo R8); do
        echo "  - {rule: $rule, of: A, reason: the token does not tell it, by: IW}"
    done
}
ceremony_site() {
    printf 'tokens:\n  - {name: A, module: %s, label: "%s", pin: "file:%s", entropy: none, quirks: %s' \
        "$module" "${uri#pkcs11:token=}" "$dir/token.pin" "$(list "${quirks[@]}")"
    [ -z "$init_args" ] || printf ', init_args: "%s"' "$init_args"
    printf '}\npeople:\n'
    local role
    for role in CA SO CO CO IW; do
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/$((++people)).pem" 2>/dev/null
        printf '  - {role: %s, name: p%d, key: %s}\n' $role $people "$dir/$people.pem"
    done
}
perform() {
    local script=$dir/ceremony.yaml people=0
    ceremony_site >"$dir/site.yaml"
    cp "$ceremonies/one-token-initialised.yaml" "$script"
    [ "$kek" = hmac ] || sed -i 's/kek-hmac-sha256-v1/kek-aes-256-gcm-v1/' "$script"
    [ ${#quirks[@]} = 0 ] || waivers >>"$script"
    if [ -n "$ends" ]; then
        ! rehearse ceremony && grep -q "$ends" "$dir/ceremony.said" ||
            { tail "$dir/ceremony.said" >&2; echo "not ended by '$ends'" >&2; exit 1; }
        return
    fi
    rehearse ceremony || { tail "$dir/ceremony.said" >&2; exit 1; }
    printf '  registry: {file: %s, signers: [%s, %s], need: 2, rehearsal: true}\n' \
        "$dir/ceremony/registry.jsonl" "$dir/ceremony/keys/csk-2026-01.pem" "$dir/ceremony/keys/p5.pem" \
        >>"$dir/kms/tbs-kmsd.yaml"
}
rehearse() { # folder
    env "${environment[@]}" "$ceremony" run --rehearse --answers auto --site "$dir/site.yaml" \
        --script "$dir/ceremony.yaml" "$dir/$1" >"$dir/$1.said" 2>&1
}
make_missing() {
    local there
    there=$(adm keys)
    [[ $there == *tpk-2026-01* ]] || make tpk hmac-sha256 tpk-2026-01
    [[ $there == *tpk-sha1-2026-01* ]] || make tpk hmac-sha1 tpk-sha1-2026-01
    [[ $there == *kek-2026-01* ]] || make kek "$kek" kek-2026-01
}
if [ -z "$has_keys" ]; then
    [ -n "$tcti" ] || perform
    make_missing
elif make tpk hmac-sha256 tpk-2026-02 2>"$dir/refused"; then
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
case "${quirks[*]}" in *no-*) excused=$(adm keys | tail -n +2 | wc -l) ;; *) excused=0 ;; esac
unverified=$(grep -c event=key-not-verified "$dir/kmsd.log") || true
[ "$unverified" = "$excused" ] || { echo "$unverified keys not verified" >&2; exit 1; }
daemon_stop

sed -i 's/quirks: \[/quirks: [no-worries, /' "$dir/kms/tbs-kmsd.yaml"
status=0
"$kmsd" --check --config "$dir/kms/tbs-kmsd.yaml" 2>"$dir/refused" || status=$?
[ "$status" = 3 ] && grep -q "'no-worries' is not a quirk" "$dir/refused"
