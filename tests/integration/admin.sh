#!/usr/bin/env bash
# tbs-admin on a real token and store: what fails leaves nothing behind.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3
. "$(dirname "$0")/daemon.sh"

daemon_init
subscriber alice
subscriber bob

# --- What is listed ---

adm identity add sip:alice@example.net tel:+15551234
adm identity add sip:alice@example.net sip:alice@home.example
adm subscriber list |
    grep -q '^sip:alice@example.net .* alice-1 .*sip:alice@home.example tel:+15551234$' ||
    wrong "alice's further identities are not listed"
grep -q '"further_identities": ""' <<<"$(adm --json subscriber list)" || wrong "bob has no further ones"
refused 1 "standard output" eval 'adm subscriber list >/dev/full'
refused 1 "standard output" eval 'adm --json keys >/dev/full'

# --- Groups: all that are named, or none ---

adm group add sip:team@example.net
refused 1 sip:nobody@example.net \
    adm group join sip:team@example.net sip:alice@example.net sip:nobody@example.net
[ "$(adm group members sip:team@example.net | wc -l)" = 1 ] || wrong "half a join was kept"
adm group join sip:team@example.net sip:alice@example.net sip:bob@example.net
refused 1 sip:nobody@example.net \
    adm group leave sip:team@example.net sip:bob@example.net sip:nobody@example.net
[ "$(adm group members sip:team@example.net | wc -l)" = 3 ] || wrong "half a leave was kept"

# --- A subscriber and its device: both, or nothing ---

sed 's|^  pin: .*|  pin: prompt|' "$dir/kms/tbs-kmsd.yaml" >"$dir/kms/prompt.yaml"
/usr/bin/python3 - "$admin" --config "$dir/kms/prompt.yaml" subscriber add sip:carol@example.net \
    --psk-id carol-1 --psk-out "$dir/carol.psk" <<'PY'
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b""
while b"PIN" not in said:
    said += os.read(fd, 1000)
os.write(fd, b"\x03")
sys.exit(os.waitpid(pid, 0)[1] == 0)
PY
nothing_of_carol() {
    [ ! -e "$dir/carol.psk" ] && [ ! -e "$dir/carol.json" ] || wrong "a file of carol's stayed"
    refused 1 "no identity 'sip:carol@example.net'" adm identity remove sip:carol@example.net
}
nothing_of_carol
refused 1 alice-1 adm subscriber add sip:carol@example.net --psk-id alice-1 \
    --psk-out "$dir/carol.psk"
nothing_of_carol
refused 1 "$dir/alice.psk" adm subscriber add sip:carol@example.net --psk-id carol-1 \
    --psk-out "$dir/alice.psk"
[ -s "$dir/alice.psk" ] || wrong "another's key file was removed"

# --- Accounts of tbs ---

# The configuration says port 0 here: nobody could call that.
refused 1 "--url" adm subscriber add sip:carol@example.net --psk-id carol-1 \
    --psk-out "$dir/carol.psk" --account-out "$dir/carol.json"
refused 1 "https://" adm subscriber add sip:carol@example.net --psk-id carol-1 \
    --psk-out "$dir/carol.psk" --account-out "$dir/carol.json" --url kms.example.net:8087
refused 1 alice-1 adm subscriber add sip:carol@example.net --psk-id alice-1 \
    --psk-out "$dir/carol.psk" --account-out "$dir/carol.json" --url http://kms.example.net/mikey
refused 1 "$dir/alice.psk" adm subscriber add sip:carol@example.net --psk-id carol-1 \
    --psk-out "$dir/carol.psk" --account-out "$dir/alice.psk" --url http://kms.example.net/mikey
nothing_of_carol
[ "$(wc -c <"$dir/alice.psk")" = 65 ] || wrong "another's file was removed or changed"

account() { # NAME of a key in the file FILE: what an account says
    /usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[2]))[sys.argv[1]])' "$@"
}
adm_at() { # LISTEN: as if the KMS listened there
    sed "s|^  listen: .*|  listen: \"$1\"|" "$dir/kms/tbs-kmsd.yaml" >"$dir/kms/at.yaml"
    shift
    "$admin" --config "$dir/kms/at.yaml" "$@"
}
mkdir "$dir/phones"
adm_at '[::1]:8087' credential add tel:+15551234 --psk-id alice-2 \
    --psk-out "$dir/phones/alice.psk" --account-out "$dir/phones/alice.json"
[ "$(account url "$dir/phones/alice.json")" = 'http://[::1]:8087/mikey' ] || wrong "another URL"
[ "$(account identity "$dir/phones/alice.json")" = tel:+15551234 ] || wrong "another identity"
[ "$(account psk_file "$dir/phones/alice.json")" = alice.psk ] || wrong "not to be moved together"
refused 1 "--url" adm_at '[::]:8087' credential add sip:bob@example.net --psk-id bob-2 \
    --psk-out "$dir/bob-2.psk" --account-out "$dir/bob-2.json"

# What is written is what tbs takes.
daemon_start
mv "$dir/phones" "$dir/moved"
adm credential add sip:bob@example.net --psk-id bob-2 --psk-out "$dir/moved/bob.psk" \
    --account-out "$dir/bob.json" --url "$mikey_url"
sed -i "s|http://[^\"]*|$mikey_url|" "$dir/moved/alice.json"
"$tbs" request --account "$dir/moved/alice.json" --to sip:bob@example.net \
    --out "$dir/ticket" >/dev/null
"$tbs" request --account "$dir/bob.json" --to sip:alice@example.net --out "$dir/back" >/dev/null
daemon_stop

# A token that cannot wrap: its KEK is gone.
destroy_key kek-2026-01
refused 1 "let a ceremony make one" adm subscriber add sip:carol@example.net --psk-id carol-1 \
    --psk-out "$dir/carol.psk"
nothing_of_carol
refused 1 "made in ceremonies" adm keys generate kek

# --- A KMS with names that YAML would read as something else ---

# It is a rehearsal, and none passes for a real one.
verify=$(dirname "$admin")/../tbs-ceremony-verify
"$verify" --rehearsal "$kms/ceremony" >"$dir/opinion" || wrong "$(cat "$dir/opinion")"
refused 1 "rehearsal" "$verify" "$kms/ceremony"
sed -i 's/^    rehearsal: true/    rehearsal: false/' "$kms/tbs-kmsd.yaml"
refused 3 "it is one of a rehearsal" "$kmsd" --check --config "$kms/tbs-kmsd.yaml"

kms="$dir/it's \"a\": [KMS]"
daemon_init --listen '[::1]:8087' --management '[::1]:8088' --identity 'sip:kms@[::1]'
"$kmsd" --check --config "$kms/tbs-kmsd.yaml" >/dev/null || wrong "the configuration is refused"
rm -r "$kms"
said=$("$admin" --json init "$kms" --listen 127.0.0.1:0 --management 127.0.0.1:0)
[ "$(jq -r '.[0] | .record, .registry' <<<"$said")" = "$kms/ceremony
$kms/key-registry" ] || wrong "$said"
daemon_start
grep -q '^token  *up' <<<"$(adm status)" || wrong "no token"
daemon_stop
refused 1 "SoftHSM" "$admin" init "$dir/a#b"
refused 3 "server.listen" "$admin" init "$dir/other" --listen localhost:8087
refused 1 "softhsm or tpm" "$admin" init "$dir/other" --token hsm
refused 1 "for --token tpm" "$admin" init "$dir/other" --tcti swtpm:
refused 1 "connecting to the TPM" "$admin" init "$dir/other" --token tpm --tcti "swtpm:path=$dir/no"
refused 3 "tcti must name" "$admin" init "$dir/other" --token tpm --tcti mssim:
[ ! -e "$dir/a#b" ] && [ ! -e "$dir/other" ] || wrong "an init that failed left a folder"
