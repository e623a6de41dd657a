#!/usr/bin/env bash
# The ceremony that makes a KMS's keys in a TPM, rehearsed on swtpm; what it leaves is read by
# tpm2-tools and by a KMS, and a cut in any step leaves a ceremony that goes on.
set -euo pipefail
ceremony=$1 scripts=$2 verify=$3 admin=$4
. "$(dirname "$0")/ceremony_common.sh"
. "$(dirname "$0")/../../tools/software_tpm.sh"
for program in swtpm tpm2_load tpm2-abrmd dbus-daemon; do
    command -v $program >/dev/null || { echo "skipped: $program is missing"; exit 77; }
done
trap 'software_tpm_stop; rm -rf "$dir"' EXIT

first=$dir/first record=$dir/first/transcript.jsonl
rehearse "$first" "$scripts/tpm-first-keys.yaml" >"$dir/first.out"
chain "$first"
python3 "$(dirname "$0")/ceremony_tpm_verify.py" "$verify" "$first" "$dir/tampered" || wrong "what TPMs attest"
signatures "$first/registry.jsonl" "$first" 2
checkpoints "$first" 6
"$verify" --rehearsal "$first" >"$dir/opinion" || wrong "$(sed -n '3,9p' "$dir/opinion")"
keys=$first/rehearsal/tokens/T.tpm/keys
[ ! -e "$keys/canary-2026-01.json" ] || wrong "the canary is still there"
[ "$(jq -c 'select(.type == "attack") | [.attempts[].refused] | unique' "$record" | sort -u)" = '[true]' ] ||
    wrong "an attack was not refused"
[ "$(jq 'select(.type == "attr") | .reopened' "$record" | sort -u)" = true ] || wrong "not read back"

sed 's/template: kek-hmac-sha256-tpm-v1/template: kek-hmac-sha256-v1/' "$scripts/tpm-first-keys.yaml" >"$dir/mixed.yaml"
refused 4 "is of a template for PKCS#11 tokens, and token T is in a TPM" "$ceremony" lint "$dir/mixed.yaml"
sed "s|tpm: {[^}]*}|module: $softhsm|" "$first/site.yaml" >"$dir/other-site.yaml"
refused 4 "are for a TPM, and here it is a PKCS#11 token" "$ceremony" lint "$scripts/tpm-first-keys.yaml" "$dir/other-site.yaml"

# --- By tpm2-tools: Names, attributes and check values ---

software_tpm_state=$first/rehearsal/tokens/T.tpm/state
mkdir -m 700 "$dir/tpm"
ln -s "$software_tpm_state" "$dir/tpm/state"
software_tpm_start "$dir/tpm"
export DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus TPM2TOOLS_TCTI=tabrmd:bus_type=session
pin=$(cat "$first/rehearsal/tokens/T.user-pin")
take() { # id: its two areas as tpm2_load takes them
    jq -r .public "$keys/$1.json" | base64 -d >"$dir/$1.public"
    jq -r .private "$keys/$1.json" | base64 -d >"$dir/$1.private"
}
of() { # type of line, id, member
    jq -r "select(.type == \"$1\" and .id == \"$2\") | .$3" "$record" | tail -n 1
}
tpm2_createprimary -Q -C o -g sha256 -G ecc:aes128cfb -c "$dir/primary.ctx" -a \
    'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
take token
tpm2_load -Q -C "$dir/primary.ctx" -u "$dir/token.public" -r "$dir/token.private" -c "$dir/token.ctx"
: >"$dir/empty"
for id in csk-2026-01 audit-2026-01 kek-2026-01 tpk-2026-01 tpk-2026-02; do
    take $id
    tpm2_load -Q -C "$dir/token.ctx" -P "$pin" -u "$dir/$id.public" -r "$dir/$id.private" -c "$dir/$id.ctx"
    tpm2_readpublic -c "$dir/$id.ctx" -n "$dir/$id.name" -f pem -o "$dir/$id.pem" >"$dir/told" 2>/dev/null ||
        tpm2_readpublic -c "$dir/$id.ctx" -n "$dir/$id.name" >"$dir/told"
    [ "$(od -An -tx1 "$dir/$id.name" | tr -d ' \n')" = "$(of attr $id attributes.name)" ] || wrong "the Name of $id"
    [ "$(sed -n '/^attributes:/,/^[a-z]/s/^  value: //p' "$dir/told")" = \
        'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign' ] || wrong "attributes of $id"
    case $id in
    tpk-* | kek-*)
        tpm2_hmac -Q -c "$dir/$id.ctx" -p "$pin" -o "$dir/mac" "$dir/empty"
        check=$(head -c 16 "$dir/mac" | od -An -tx1 | tr -d ' \n') ;;
    *) check=$(openssl pkey -pubin -in "$dir/$id.pem" -outform DER | sha256sum | cut -d' ' -f1) ;;
    esac
    [ "$check" = "$(of kcv $id value)" ] || wrong "the check value of $id"
done

# --- By a KMS ---

"$admin" init "$dir/kms" >/dev/null
cat >"$dir/kms/tbs-kmsd.yaml" <<YAML
kms: {identity: "sip:kms@example.net"}
custody:
  backend: tpm
  tcti: tabrmd:bus_type=session
  keys: $keys
  pin: file:$first/rehearsal/tokens/T.user-pin
  registry:
    file: $first/registry.jsonl
    signers: [$first/keys/csk-2026-01.pem, $first/keys/IW-1.pem]
    need: 2
    rehearsal: true

store: {path: store.sqlite}
YAML
"$admin" -c "$dir/kms/tbs-kmsd.yaml" --json status >"$dir/listed" || wrong "a KMS does not take the keys"
[ "$(jq -r 'map(select(.what == "token" or .what == "keys") | .is) | join(" ")' "$dir/listed")" = "up 4" ] ||
    wrong "the KMS sees: $(cat "$dir/listed")"
software_tpm_stop

# --- What it attests, by tpm2-tools ---

part() { # file of lines, member: its octets
    jq -r ".$2" "$1" | base64 -d
}
grep '"type":"quote"' "$record" >"$dir/quote"
part "$dir/quote" attested >"$dir/quote.attested"
part "$dir/quote" signature >"$dir/quote.signature"
tpm2_checkquote -Q -u "$first/keys/attest-T.pem" -m "$dir/quote.attested" -s "$dir/quote.signature" \
    -g sha256 -q "$(jq -r .head "$dir/quote")" || wrong "tpm2_checkquote refuses the quote"
[ "$(head -n "$(jq .covers "$dir/quote")" "$record" | tail -n 1 | tr -d '\n' | sha256sum | cut -d' ' -f1)" = \
    "$(jq -r .head "$dir/quote")" ] || wrong "the quote is over another head"
for id in csk-2026-01 audit-2026-01 kek-2026-01 tpk-2026-01 tpk-2026-02; do
    grep '"type":"certify"' "$record" | jq -c "select(.id == \"$id\")" >"$dir/certify"
    part "$dir/certify" attested >"$dir/certify.attested"
    part "$dir/certify" signature >"$dir/certify.signature"
    # TPMS_ATTEST: magic, type, signer, extraData; 25 octets of clock and firmware; the Name. The
    # signature: ECDSA, SHA-256, and two numbers.
    python3 - "$dir/certify.attested" "$dir/certify.signature" >"$dir/told" <<'PYTHON'
import sys
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
octets, signature = (open(name, "rb").read() for name in sys.argv[1:])
def sized(octets, at):
    end = at + 2 + int.from_bytes(octets[at:at + 2], "big")
    return octets[at + 2:end], end
signer, at = sized(octets, 6)
extra, at = sized(octets, at)
name, at = sized(octets, at + 25)
r, at = sized(signature, 4)
s, at = sized(signature, at)
open(sys.argv[2] + ".der", "wb").write(encode_dss_signature(*(int.from_bytes(n, "big") for n in (r, s))))
print(octets[:6].hex(), extra.hex(), name.hex())
PYTHON
    [ "$(cat "$dir/told")" = "ff5443478017 $(jq -r .head "$dir/certify") $(of attr $id attributes.name)" ] ||
        wrong "what the TPM certifies of $id: $(cat "$dir/told")"
    openssl dgst -sha256 -verify "$first/keys/attest-T.pem" -signature "$dir/certify.signature.der" \
        "$dir/certify.attested" >/dev/null || wrong "openssl refuses the certification of $id"
done

# --- What is no key of the ceremony's, and another TPM's file ---

destroy=$dir/destroy.yaml
sed -e 's/^ceremony: .*/ceremony: tpm-destroy/' -e '/^steps:/,$d' -e '/id: \(audit\|canary\|kek\|tpk-2026-01\)/d' \
    "$scripts/tpm-first-keys.yaml" >"$destroy"
cat >>"$destroy" <<'YAML'
assumes: [T.initialised, csk-2026-01.on-T, tpk-2026-02.on-T]
steps:
  - {id: "1", title: All objects, do: inventory, class: observe, on: [T], present: [CA, IW, EW], confirm: EW}
  - {id: "2", title: The key in reserve is destroyed, do: destroy, key: tpk-2026-02, class: destroy, on: [T], present: [CA, CO>=2, IW], confirm: IW, abort: leave}
  - {id: "3", title: The registry is signed, do: registry, key: csk-2026-01, class: irreversible, on: [T], sign: [IW], present: [CA, CO>=2, IW, EW], confirm: EW, abort: leave}
  - {id: "4", title: The record is signed, do: checkpoint, key: csk-2026-01, class: observe, on: [T], sign: [IW], present: [CA, CO>=2, IW, EW], confirm: EW}
YAML
cp "$keys/tpk-2026-01.json" "$dir/kept"
cp "$dir/kept" "$keys/tpk-2027-01.json"
refused 7 "token T, object tpk-2027-01" rehearse "$dir/clone" "$destroy" --after "$first"
rm "$keys/tpk-2027-01.json"
jq '.private |= (.[0:40] + "AAAA" + .[44:])' "$dir/kept" >"$keys/tpk-2026-01.json"
refused 7 "token T, object tpk-2026-01.json: nobody knows" rehearse "$dir/broken" "$destroy" --after "$first"
cp "$dir/kept" "$keys/tpk-2026-01.json"
rehearse "$dir/destroy" "$destroy" --after "$first" >"$dir/destroy.out"
[ ! -e "$keys/tpk-2026-02.json" ] || wrong "the key is still there"
[ "$(head -n 1 "$dir/destroy/registry.jsonl" | jq -r '.keys[] | select(.id == "tpk-2026-02") | .state')" = destroyed ] ||
    wrong "the registry does not say destroyed"
"$verify" --rehearsal "$first" "$dir/destroy" >"$dir/opinion" || wrong "$(sed -n '3,9p' "$dir/opinion")"

# --- Two TPMs ---

two=$dir/two
rehearse "$two" "$scripts/tpm-two-sites.yaml" >"$two.out"
"$verify" --rehearsal "$two" >"$dir/opinion" || wrong "two: $(sed -n '3,9p' "$dir/opinion")"
for id in kek-2026-01 tpk-2026-01; do
    [ "$(jq -r "select(.type == \"kcv\" and .id == \"$id\") | .token" "$two/transcript.jsonl" | sort -u | tr -d '\n')" = AB ] ||
        wrong "$id has no check value on both"
    [ "$(jq -r "select(.type == \"kcv\" and .id == \"$id\") | .value" "$two/transcript.jsonl" | sort -u | wc -l)" = 1 ] ||
        wrong "$id differs"
    signatures "$two/blobs/$id.B.blob" "$two" 1
done
[ "$(jq -c 'select(.type == "attack") | [.attempts[].refused] | unique' "$two/transcript.jsonl" | sort -u)" = '[true]' ] ||
    wrong "an attack on a key that was duplicated was not refused"
# A KMS with B's TPM takes the same keys; tpm2-tools compute the same check value there.
rm -rf "$dir/tpm"
mkdir -m 700 "$dir/tpm"
ln -s "$two/rehearsal/tokens/B.tpm/state" "$dir/tpm/state"
software_tpm_start "$dir/tpm"
export DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus
keys=$two/rehearsal/tokens/B.tpm/keys pin=$(cat "$two/rehearsal/tokens/B.user-pin") record=$two/transcript.jsonl
sed -i -e "s|$first/rehearsal/tokens/T.tpm/keys|$keys|" -e "s|$first/rehearsal/tokens/T.user-pin|$two/rehearsal/tokens/B.user-pin|" \
    -e "s|$first/|$two/|g" "$dir/kms/tbs-kmsd.yaml"
"$admin" -c "$dir/kms/tbs-kmsd.yaml" --json status >"$dir/listed" || wrong "a KMS does not take the keys of B"
[ "$(jq -r 'map(select(.what == "token" or .what == "keys") | .is) | join(" ")' "$dir/listed")" = "up 3" ] ||
    wrong "the KMS sees on B: $(cat "$dir/listed")"
sed '/^  registry:/,/^    rehearsal:/d' "$dir/kms/tbs-kmsd.yaml" >"$dir/kms/without.yaml"
refused 3 "it may go to other TPMs, and no key registry says" "$admin" -c "$dir/kms/without.yaml" status
tpm2_createprimary -Q -C o -g sha256 -G ecc:aes128cfb -c "$dir/primary.ctx" -a \
    'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
take token
tpm2_load -Q -C "$dir/primary.ctx" -u "$dir/token.public" -r "$dir/token.private" -c "$dir/token.ctx"
take tpk-2026-01
tpm2_load -Q -C "$dir/token.ctx" -P "$pin" -u "$dir/tpk-2026-01.public" -r "$dir/tpk-2026-01.private" -c "$dir/tpk.ctx"
tpm2_readpublic -c "$dir/tpk.ctx" -n "$dir/tpk.name" >"$dir/told"
[ "$(od -An -tx1 "$dir/tpk.name" | tr -d ' \n')" = "$(of attr tpk-2026-01 attributes.name)" ] || wrong "the Name on B"
[ "$(sed -n '/^attributes:/,/^[a-z]/s/^  value: //p' "$dir/told")" = 'sensitivedataorigin|userwithauth|noda|sign' ] ||
    wrong "attributes on B: $(cat "$dir/told")"
! tpm2_hmac -Q -c "$dir/tpk.ctx" -o "$dir/mac" "$dir/empty" 2>/dev/null || wrong "it works on B without a PIN"
tpm2_hmac -Q -c "$dir/tpk.ctx" -p "$pin" -o "$dir/mac" "$dir/empty"
[ "$(head -c 16 "$dir/mac" | od -An -tx1 | tr -d ' \n')" = "$(of kcv tpk-2026-01 value)" ] || wrong "the check value on B"
# tpm2-tools get it no further: the Name binds where it may go.
tpm2_createprimary -Q -C n -g sha256 -G ecc:aes128cfb -c "$dir/own.ctx"
tpm2_startauthsession -Q --policy-session -S "$dir/session"
tpm2_policyduplicationselect -Q -S "$dir/session" -n "$dir/tpk.name" -N <(tpm2_readpublic -Q -c "$dir/own.ctx" -n /dev/stdout) ||
    true
! tpm2_duplicate -Q -C "$dir/own.ctx" -c "$dir/tpk.ctx" -G null -p "session:$dir/session" -r "$dir/dup" -s "$dir/seed" \
    2>/dev/null || wrong "it can be duplicated to anybody"
software_tpm_stop

# --- Outside rehearsals a software TPM is refused ---

sed 's/^ceremony: .*/ceremony: real/' "$scripts/tpm-first-keys.yaml" >"$dir/real.yaml"
mkdir -m 700 "$dir/soft"
software_tpm_start "$dir/soft"
export DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus
sed "s|tpm: {[^}]*}|tpm: {tcti: 'tabrmd:bus_type=session', keys: '$dir/soft/keys'}|" "$first/site.yaml" >"$dir/site.yaml"
python3 "$(dirname "$0")/ceremony_tpm.py" "$ceremony" "$dir/real.yaml" "$dir/site.yaml" "$dir/real" ||
    wrong "a software TPM is not refused in production"
software_tpm_stop

# --- Cuts ---

for n in 20 30 44 52 60; do # lines of the record, at which the program is killed
    folder=$dir/cut$n
    "$ceremony" run --rehearse --answers auto --script "$scripts/tpm-first-keys.yaml" "$folder" \
        >"$folder.out" 2>&1 &
    pid=$!
    for _ in $(seq 2000); do
        [ "$(cat "$folder/transcript.jsonl" 2>/dev/null | wc -l)" -lt $n ] || break
        sleep 0.01
    done
    kill -KILL $pid
    wait $pid || true
    "$ceremony" resume --answers auto "$folder" >>"$folder.out" 2>&1 || wrong "cut at line $n: $(tail -n 2 "$folder.out")"
    "$verify" --rehearsal "$folder" >"$dir/opinion" || wrong "cut at line $n: $(sed -n '3,9p' "$dir/opinion")"
done
echo "all is well"
