#!/usr/bin/env bash
# A backup of a KMS with a TPM, put back, is that KMS again on that TPM, and on no other.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3
command -v swtpm >/dev/null || { echo "skipped: swtpm is missing"; exit 77; }
. "$(dirname "$0")/daemon.sh"
. "$(dirname "$0")/../../tools/software_tpm.sh"
trap 'daemon_stop; software_tpm_stop; rm -rf "$dir"' EXIT
tpm=$dir/tpm

mkdir -m 700 "$tpm"
software_tpm_swtpm "$tpm"
daemon_init --token tpm --tcti "swtpm:path=$tpm/socket"
for name in alice bob; do
    adm subscriber add "sip:$name@example.net" --psk-id "$name-1" --psk-out "$dir/$name.psk" \
        --account-out "$dir/$name.json" --url http://127.0.0.1:1/mikey
done
daemon_start
sed -i "s|http://[^\"]*|$mikey_url|" "$dir"/*.json
"$tbs" request --account "$dir/alice.json" --to sip:bob@example.net --out "$dir/ticket" >/dev/null
"$tbs" offer --ticket "$dir/ticket" --to sip:bob@example.net --out "$dir/offer"
cp "$kms/user.pin" "$kms/tokens/" # lies beside the keys

adm backup "$dir/backup" >"$dir/said"
grep -q "of use to this TPM alone" "$dir/said" || wrong "it does not say what it is worth"
[ "$(cd "$dir/backup" && echo *)" = "store.sqlite tbs-kmsd.yaml tokens" ] ||
    wrong "another content: $(ls "$dir/backup")"
diff <(cd "$kms/tokens" && sha256sum ./*.json) <(cd "$dir/backup/tokens" && sha256sum ./*)
! grep -rqFf "$kms/user.pin" "$dir/backup" || wrong "a PIN is in it"
[ -z "$(find "$dir/backup" ! -type d ! -perm 600 -o -type d ! -perm 700)" ] ||
    wrong "it is open to others"
daemon_stop

mv "$kms" "$dir/lost"
cp -a "$dir/backup" "$kms"
cp -a "$dir/lost/user.pin" "$kms"
daemon_start
sed -i "s|http://[^\"]*|$mikey_url|" "$dir"/*.json
"$tbs" resolve --account "$dir/bob.json" --offer "$dir/offer" --out "$dir/resolved" >/dev/null ||
    wrong "the restored KMS does not open a ticket of before"
daemon_stop

software_tpm_stop
rm -r "$tpm/state"
software_tpm_swtpm "$tpm"
refused 3 "of another TPM or of one that was cleared" "$kmsd" --config "$kms/tbs-kmsd.yaml"
rm "$kms/tokens"/*
refused 1 "there is no token in" adm backup "$dir/half"
[ ! -e "$dir/half" ] || wrong "half a backup was left"
