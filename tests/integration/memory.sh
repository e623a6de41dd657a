#!/usr/bin/env bash
# The memory of an idle tbs-kmsd, read from outside, holds no secret that its traffic used. The
# token is in another process: p11-kit's server, reached through p11-kit's client module.
set -euo pipefail
admin=$1 kmsd=$2
. "$(dirname "$0")/daemon.sh"

client=$(echo /usr/lib/*/pkcs11/p11-kit-client.so)
[ -r "$client" ] || { echo "p11-kit's client module is not installed"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "only root may read the daemon's memory"; exit 77; }

# The connection carries no AES-GCM, so the KEK is an HMAC key.
daemon_init --kek hmac
subscriber alice
subscriber bob
module=$(sed -n 's/^ *module: //p' "$dir/kms/tbs-kmsd.yaml")
eval "$(SOFTHSM2_CONF=$dir/kms/softhsm2.conf p11-kit server --provider "$module" \
    --name "$dir/p11.sock" 'pkcs11:')"
trap 'daemon_stop; kill "$P11_KIT_SERVER_PID" 2>/dev/null || true; rm -rf "$dir"' EXIT
sed -i -e "s|module: .*|module: $client|" \
    -e "s|environment: .*|environment: [\"P11_KIT_SERVER_ADDRESS=$P11_KIT_SERVER_ADDRESS\"]|" \
    "$dir/kms/tbs-kmsd.yaml"
daemon_start

/usr/bin/python3 "$(dirname "$0")/memory.py" "$(sed -n 1p "$dir/kms/addresses")" "$kmsd_pid" \
    sip:kms@example.net "$(echo "$dir"/kms/tokens/*)" "$dir/kms/user.pin" \
    "sip:alice@example.net=alice-1=$dir/alice.psk" "sip:bob@example.net=bob-1=$dir/bob.psk" ||
    { status=$?; tail -3 "$dir/kmsd.log"; exit $status; }
