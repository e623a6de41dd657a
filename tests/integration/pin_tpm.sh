#!/usr/bin/env bash
# A PIN sealed to a software TPM: a SoftHSM token's daemon starts with it unattended; a PCR that
# changed keeps it shut, at no attempt of the token's; a newly signed state opens it again. What
# tpm2-tools and openssl make of the same file is held against it.
set -euo pipefail
admin=$1 kmsd=$2 mock=$3
here=$(dirname "$(realpath "$0")")
. "$here/daemon.sh"
. "$here/mock.sh"
. "$here/../../tools/software_tpm.sh"

for program in swtpm tpm2-abrmd tpm2_policyauthorize dbus-daemon openssl jq; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
bus_pid=
finish() {
    daemon_stop
    software_tpm_stop
    [ -z "$bus_pid" ] || kill "$bus_pid"
    rm -rf "$dir"
}
trap finish EXIT

software_tpm_start "$dir/tpm"
export DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus TPM2TOOLS_TCTI=tabrmd:bus_type=session
cd "$dir"

hex() {
    od -An -v -tx1 | tr -d ' \n'
}

unhex() {
    /usr/bin/python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))'
}

extend() { # PCR
    tpm2_pcrextend "$1:sha256=$(head -c 32 /dev/urandom | hex)"
}

refuses_to_start() { # part of the log
    local status=0
    daemon_launch
    wait "$kmsd_pid" || status=$?
    kmsd_pid=
    [ "$status" = 3 ] || wrong "exit status $status instead of 3: $(cat "$dir/kmsd.log")"
    grep -qF -e "$1" "$dir/kmsd.log" || wrong "the log does not say '$1': $(cat "$dir/kmsd.log")"
}

attempts() { # with a PIN, in all processes so far
    awk '$2 ~ /^login[.](CKR_OK|CKR_PIN_INCORRECT|other)$/ { n += $1 } END { print n + 0 }' \
        "$MOCK_PKCS11_LOG".*
}

await() { # status of /readyz
    for _ in $(seq 300); do
        [ "$(curl -s -o out -w '%{http_code}' "$management/readyz")" != "$1" ] || return 0
        sleep 0.1
    done
    wrong "/readyz is not $1: $(cat out)"
}

daemon_init
mock_configure
pin=$(cat "$kms/tokens/A.user-pin")
sealed=$kms/user.sealed
sed -i "s|^  pin: .*|  pin: tpm:./user.sealed\n  tcti: $TPM2TOOLS_TCTI|" "$kms/tbs-kmsd.yaml"
for key in operators others; do
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $key.pem 2>genpkey.log
    openssl pkey -in $key.pem -pubout -out $key.pub
done
chmod 600 ./*.pem
openssl genrsa -out rsa.pem 2>genpkey.log
chmod 600 rsa.pem

echo "What cannot be is said"
refused 1 "cannot open the sealed PIN" adm pin test
refused 1 "either --sign or --public-key" adm pin seal
refused 1 "must be on P-256" adm pin seal --sign rsa.pem --pin-source "file:$kms/tokens/A.user-pin"
refused 3 "no token with such a sealed PIN" adm pin test /elsewhere
refused 1 "--pcrs takes numbers of 0 to 23" adm pin seal --sign operators.pem --pcrs 7,24 \
    --pin-source "file:$kms/tokens/A.user-pin"
chmod 644 operators.pem
refused 3 "others may use it" adm pin seal --sign operators.pem --pin-source "file:$kms/tokens/A.user-pin"
chmod 600 operators.pem
head -c 200 /dev/zero | tr '\0' 1 >long.pin
chmod 600 long.pin
refused 1 "a PIN of at most 128 octets" adm pin seal --sign operators.pem \
    --pin-source "file:$dir/long.pin"
[ ! -e "$sealed" ] || wrong "a file was written all the same"

echo "Sealed, and the daemon starts with it"
adm pin seal --sign operators.pem --pcrs 0,7,11 --pin-source fd:0 <"$kms/tokens/A.user-pin" >out
[ "$(stat -c %a "$sealed")" = 600 ] || wrong "mode $(stat -c %a "$sealed") of $sealed"
mv "$kms/tokens/A.user-pin" "$dir/user.pin"
adm pin test >out 2>&1 || wrong "$(cat out)"
[ "$(adm --json pin test 2>out | jq -r '[.[] | .pcr + " " + .state] | join(",")')" = \
    "0 as signed,7 as signed,11 as signed" ] || wrong "$(adm --json pin test)"
daemon_start
await 200
daemon_stop

echo "tpm2-tools come to the same policy, and to the same PIN"
jq -r .public "$sealed" | base64 -d >seal.pub
jq -r .private "$sealed" | base64 -d >seal.priv
jq -r .reference "$sealed" | unhex >reference
jq -r .authority "$sealed" | base64 -d | openssl pkey -pubin -inform DER -out authority.pem
cmp -s authority.pem operators.pub || wrong "the authority is another key"
jq -r '.policies[0].signature' "$sealed" | base64 -d >signature
tpm2_createprimary -Q -C o -G ecc:aes128cfb -c primary.ctx \
    -a "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
tpm2_load -Q -C primary.ctx -u seal.pub -r seal.priv -c seal.ctx
tpm2_loadexternal -Q -C o -G ecc -u authority.pem -c authority.ctx -n authority.name
tpm2_startauthsession -S trial.ctx
tpm2_policyauthorize -S trial.ctx -q reference -n authority.name -L authorize.policy >out
tpm2_flushcontext trial.ctx
[ "$(tpm2_readpublic -c seal.ctx | sed -n 's/^authorization policy: //p')" = \
    "$(hex <authorize.policy)" ] || wrong "another authPolicy"
[ "$(tpm2_readpublic -c seal.ctx | sed -n 's/^ *value: \(fixed.*\)/\1/p')" = \
    "fixedtpm|fixedparent|adminwithpolicy|noda" ] || wrong "$(tpm2_readpublic -c seal.ctx)"
tpm2_startauthsession -S policy.ctx --policy-session
tpm2_policypcr -Q -S policy.ctx -l sha256:0,7,11 -L pcr.policy
cat pcr.policy reference >signed
openssl dgst -sha256 -verify operators.pub -signature signature signed >out || wrong "$(cat out)"
tpm2_verifysignature -c authority.ctx -g sha256 -f ecdsa -m signed -s signature -t ticket
tpm2_policyauthorize -S policy.ctx -i pcr.policy -q reference -n authority.name -t ticket >out
[ "$(tpm2_unseal -p session:policy.ctx -c seal.ctx)" = "$pin" ] || wrong "another PIN"
tpm2_flushcontext policy.ctx
refused 1 "" tpm2_unseal -c seal.ctx

echo "A PCR differs"
before=$(attempts)
extend 11
refused 4 "PCR 11 differs from what is signed" adm pin test
refuses_to_start "PCR 11 differs from what is signed"
extend 0
refuses_to_start "PCRs 0 and 11 differ from what is signed"
refused 3 "PCRs 0 and 11 differ from what is signed" adm status
[ "$(attempts)" = "$before" ] || wrong "it cost the token an attempt"
cp "$sealed" before
refused 1 "not by the key that the PIN was sealed for" adm pin reseal --sign others.pem
cmp -s "$sealed" before || wrong "the file was changed all the same"

echo "A new state is signed, elsewhere"
adm pin reseal --to-sign request
tpm2_startauthsession -S trial.ctx
tpm2_policypcr -Q -S trial.ctx -l sha256:0,7,11 -L pcr.policy
tpm2_flushcontext trial.ctx
cat pcr.policy reference | cmp - request
openssl dgst -sha256 -sign others.pem -out answer request
refused 1 "not by the key that the PIN was sealed for" adm pin reseal --signature answer
openssl dgst -sha256 -sign operators.pem -out answer request
adm pin reseal --signature answer >out
adm pin test >out 2>&1 || wrong "$(cat out)"
daemon_start

echo "An update that is expected, and comes while the daemon serves"
now=$(tpm2_pcrread sha256:11 | sed -n 's/.*: 0x//p')
digest=$(printf kernel | sha256sum | cut -c -64)
next=$(printf '%s%s' "$now" "$digest" | unhex | sha256sum | cut -c -64)
adm pin reseal --sign operators.pem --expect "11=${next^^}" >out
adm pin test >out 2>&1 || wrong "the state of before does not open it any more: $(cat out)"
tpm2_pcrextend "11:sha256=$digest"
adm pin test >out 2>&1 || wrong "the expected state does not open it: $(cat out)"
daemon_stop
daemon_start
daemon_stop
adm pin reseal --sign operators.pem >out
[ "$(jq '.policies | length' "$sealed")" = 1 ] || wrong "an old state stayed"

echo "A file that was changed, or of another TPM"
cp "$sealed" before
chmod 620 "$sealed"
refused 3 "nobody else may write it" adm pin test
chmod 600 "$sealed"
jq '.policies[0].pcrs["11"] = "'"${now,,}"'"' before >"$sealed"
refused 3 "the signature of a PCR policy in it is wrong" adm pin test
jq '.authority = "'"$(openssl pkey -pubin -in others.pub -outform DER | base64 -w 0)"'"' before \
    >"$sealed"
refused 3 "its public area is not what a sealed PIN of this authority has" adm pin test
cp before "$sealed"
tpm2_dictionarylockout --setup-parameters --max-tries=1 --recovery-time=1000
tpm2_createprimary -Q -C o -p right -c guarded.ctx
refused 3 "" tpm2_create -C guarded.ctx -P wrong -u x.pub -r x.priv
grep -q 'inLockout: *1' <<<"$(tpm2_getcap properties-variable)" || wrong "no lockout"
adm pin test >out 2>&1 || wrong "a TPM in lockout does not open it: $(cat out)"
tpm2_clear
refused 3 "was sealed to another TPM, or this one was cleared" adm pin test
refuses_to_start "was sealed to another TPM, or this one was cleared"

echo "The login is lost in a state that is not signed, and found again in one that is"
adm pin seal --sign operators.pem --pin-source "file:$dir/user.pin" >out
daemon_start
await 200
before=$(attempts)
extend 7
echo logout | mock_script
await 503
grep -q "PCR 7 differs from what is signed" out || wrong "$(cat out)"
[ "$(attempts)" = "$before" ] || wrong "it cost the token an attempt"
adm pin reseal --sign operators.pem >out
await 200
daemon_stop

echo "Nobody on the bus sees it; a TPM that is away is waited for"
software_tpm_stop
raw_tpm() {
    swtpm socket --tpm2 --tpmstate "dir=$dir/tpm/state" --flags not-need-init,startup-clear \
        --server "type=unixio,path=$dir/raw" --ctrl "type=unixio,path=$dir/raw.ctrl" 2>raw.log &
    software_tpm_pids+=($!)
    software_tpm_file "$dir/raw"
}
"$here/tpm_bus.py" "$dir/bus" "$dir/raw" "$dir/record" &
bus_pid=$!
software_tpm_file "$dir/bus"
ln -s raw.ctrl bus.ctrl
raw_tpm
export TPM2TOOLS_TCTI=swtpm:path=$dir/bus
sed -i "s|^  tcti: .*|  tcti: $TPM2TOOLS_TCTI|" "$kms/tbs-kmsd.yaml"
adm pin seal --sign operators.pem --pin-source "file:$dir/user.pin" >out
adm pin test >out 2>&1 || wrong "$(cat out)"
software_tpm_stop
daemon_start
await 503
raw_tpm
await 200
daemon_stop
on_the_bus() { # octets in hexadecimal
    [[ $(hex <record) == *"$1"* ]]
}
on_the_bus "$(jq -r .reference "$sealed")" || wrong "the bus was not looked at"
! on_the_bus "$(printf %s "$pin" | hex)" || wrong "the PIN crossed the bus in the clear"
tpm2_createprimary -Q -C o -c plain.ctx
tpm2_create -Q -C plain.ctx -i user.pin -u plain.pub -r plain.priv
on_the_bus "$(printf %s "$pin" | hex)" || wrong "a PIN in the clear is not found on the bus"
