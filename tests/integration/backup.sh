#!/usr/bin/env bash
# A backup of a KMS at work, put back, is that KMS again; no PIN is in it unless it was named.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3
. "$(dirname "$0")/daemon.sh"

request() { # account, new file for the ticket
    sed -i "s|http://[^\"]*|$mikey_url|" "$dir/$1.json"
    "$tbs" request --account "$dir/$1.json" --to sip:bob@example.net --out "$dir/$2" >/dev/null
}
no_pin_in() { # folder
    [ -z "$(find "$1" -name '*pin')" ] || wrong "a PIN file is in $1"
    ! grep -rqFf "$kms/tokens/A.user-pin" "$1" && ! grep -rqFf "$kms/tokens/A.so-pin" "$1" ||
        wrong "a PIN is in $1"
}

daemon_init
daemon_start
for name in alice bob; do
    adm subscriber add "sip:$name@example.net" --psk-id "$name-1" --psk-out "$dir/$name.psk" \
        --account-out "$dir/$name.json" --url "$mikey_url"
done
request alice before.ticket
"$tbs" offer --ticket "$dir/before.ticket" --to sip:bob@example.net --out "$dir/before.offer"
# They lie beside the token, and in it.
for token in "$kms/tokens"/*/; do cp "$kms/tokens/A.so-pin" "$token/so.object.pin"; done

adm backup "$dir/backup" >"$dir/said"
grep -q "Not in it: any PIN" "$dir/said" || wrong "it does not say what is missing"
no_pin_in "$dir/backup"
[ -z "$(find "$dir/backup" ! -type d ! -perm 600 -o -type d ! -perm 700)" ] ||
    wrong "it is open to others"
[ "$(cd "$dir/backup" && echo *)" = "ceremony key-registry store.sqlite tbs-kmsd.yaml tokens" ] ||
    wrong "another content: $(ls "$dir/backup")"
refused 1 "$dir/backup" adm backup "$dir/backup"
subscriber carol # after the backup

# What cannot be done whole leaves nothing.
refused 1 nowhere.pin adm backup "$dir/half" --pin-file "$dir/nowhere.pin"
[ ! -e "$dir/half" ] || wrong "half a backup was left"

# --- Restored ---

daemon_stop
mv "$kms" "$dir/lost"
cp -a "$dir/backup" "$kms"
cp -a "$dir/lost/tokens/A.user-pin" "$kms/tokens"
daemon_start
request alice after.ticket
sed -i "s|http://[^\"]*|$mikey_url|" "$dir/bob.json"
"$tbs" resolve --account "$dir/bob.json" --offer "$dir/before.offer" \
    --out "$dir/resolved" >/dev/null ||
    wrong "the restored KMS does not open a ticket of before"
[ "$(adm subscriber list | wc -l)" = 3 ] || wrong "more or less than alice and bob are there"
daemon_stop

# --- With the PIN that was named, and that one alone ---

adm backup "$dir/whole" --pin-file "$kms/tokens/A.user-pin" >"$dir/said"
grep -q "has the keys" "$dir/said" || wrong "it does not say what the folder is worth"
[ "$(find "$dir/whole" -name '*pin')" = "$dir/whole/tokens/A.user-pin" ] || wrong "other PINs are in it"
rm -r "$kms"
cp -a "$dir/whole" "$kms"
daemon_start
request alice whole.ticket
daemon_stop

# --- A token of another kind is not in it ---

sed -i 's|^  environment: .*|  environment: []|' "$kms/tbs-kmsd.yaml"
grep -q "Not in it: the token" <<<"$(adm backup "$dir/store")" || wrong "it does not speak of the token"
[ "$(cd "$dir/store" && echo *)" = "ceremony key-registry store.sqlite tbs-kmsd.yaml" ] ||
    wrong "another content"

# --- A registry and a signer that lie elsewhere are not in it, and nothing is written elsewhere ---

mv "$kms/key-registry" "$dir/elsewhere"
sed -i "s|^    file: key-registry|    file: $kms/../elsewhere|" "$kms/tbs-kmsd.yaml"
grep -q "Not in it: files of the key registry" <<<"$(adm backup "$dir/without")" || wrong "not told"
[ "$(find "$dir/without" -type f | wc -l)" = 4 ] || wrong "$(find "$dir/without")"
