#!/usr/bin/env bash
# The memory of an idle tbs-kmsd, read from outside, holds no secret that its traffic used. The
# token is in another process: p11-kit's server, reached through p11-kit's client module, or a
# software TPM.
set -euo pipefail
token=$1 admin=$2 kmsd=$3
here=$(dirname "$0")
. "$here/daemon.sh"
. "$here/../../tools/software_tpm.sh"

[ "$(id -u)" = 0 ] || { echo "only root may read the daemon's memory"; exit 77; }
P11_KIT_SERVER_PID=
finish() {
    daemon_stop
    software_tpm_stop
    [ -z "$P11_KIT_SERVER_PID" ] || kill "$P11_KIT_SERVER_PID" 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
subscribers() {
    subscriber alice
    subscriber bob
}

begin_softhsm() {
    local client module
    client=$(echo /usr/lib/*/pkcs11/p11-kit-client.so)
    [ -r "$client" ] || { echo "p11-kit's client module is not installed"; exit 77; }
    daemon_init
    subscribers
    module=$(sed -n 's/^ *module: //p' "$kms/tbs-kmsd.yaml")
    eval "$(SOFTHSM2_CONF=$kms/tokens/softhsm2.conf p11-kit server --provider "$module" \
        --name "$dir/p11.sock" 'pkcs11:')"
    sed -i -e "s|module: .*|module: $client|" \
        -e "s|environment: .*|environment: [\"P11_KIT_SERVER_ADDRESS=$P11_KIT_SERVER_ADDRESS\"]|" \
        "$kms/tbs-kmsd.yaml"
    truth=$(echo "$kms"/tokens/*/) pin=$kms/tokens/A.user-pin
}

# swtpm keeps the octets of the key that was loaded last, so each key is listed alone once.
begin_tpm() {
    local program id
    for program in swtpm tpm2-abrmd tpm2_getcap dbus-daemon; do
        command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
    done
    software_tpm_start "$dir/tpm"
    export DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus
    daemon_init --token tpm --tcti tabrmd:bus_type=session
    subscribers
    truth=$dir/truth pin=$kms/user.pin
    sed "s|^  keys: .*|  keys: $dir/alone|" "$kms/tbs-kmsd.yaml" >"$dir/alone.yaml"
    for id in $(adm keys | awk '$3 ~ /^HMAC/ { print $1 }'); do
        mkdir "$dir/alone"
        cp "$kms/tokens/token.json" "$kms/tokens/$id.json" "$dir/alone"
        "$admin" --config "$dir/alone.yaml" keys >"$dir/listing"
        /usr/bin/python3 "$here/swtpm_keys.py" "${software_tpm_pid[swtpm]}" "$dir/listing" >>"$truth"
        rm -r "$dir/alone"
    done
}

"begin_$token"
daemon_start

/usr/bin/python3 "$here/memory.py" "$(sed -n 1p "$kms/addresses")" "$kmsd_pid" \
    sip:kms@example.net "$truth" "$pin" \
    "sip:alice@example.net=alice-1=$dir/alice.psk" "sip:bob@example.net=bob-1=$dir/bob.psk" ||
    { status=$?; tail -3 "$dir/kmsd.log"; exit $status; }
