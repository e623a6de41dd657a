#!/usr/bin/env bash
# The module in a process of its own, started by the command line of the unit; it dies and returns
# under a daemon in use.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3 unit=$4
. "$(dirname "$0")/daemon.sh"

client=$(echo /usr/lib/*/pkcs11/p11-kit-client.so)
[ -r "$client" ] || { echo "p11-kit's client module is not installed"; exit 77; }

server_start() {
    mkdir "$dir/tbs-kms-token"
    # A session of its own: then one kill ends the server with its children, as systemd does.
    SOFTHSM2_CONF=$kms/tokens/softhsm2.conf setsid bash -c "exec $command" >"$dir/server.log" 2>&1 &
    server_pid=$!
}
server_kill() {
    kill -KILL -- "-$server_pid"
    wait "$server_pid" 2>/dev/null || true
    rm -r "$dir/tbs-kms-token"
}
await() { # HTTP status of /readyz
    local got
    for _ in $(seq 100); do
        got=$(curl -s -o "$dir/ready" -w '%{http_code}' "$management/readyz")
        [ "$got" != "$1" ] || return 0
        sleep 0.1
    done
    wrong "readyz: $got instead of $1: $(cat "$dir/ready")"
}
request() { # name
    "$tbs" request --account "$dir/alice.json" --to sip:bob@example.net --out "$dir/$1.ticket"
}

daemon_init
module=$(sed -n 's/^ *module: //p' "$kms/tbs-kmsd.yaml")
command=$(sed -n 's/^ExecStart=//p' "$unit" | sed -e "s|%t|$dir|" -e "s|\${MODULE}|$module|")
socket=$dir/tbs-kms-token/pkcs11.sock
sed -i -e "s|module: .*|module: $client|" \
    -e "s|environment: .*|environment: [\"P11_KIT_SERVER_ADDRESS=unix:path=$socket\"]|" \
    "$kms/tbs-kmsd.yaml"
server_start
trap 'daemon_stop; kill -KILL -- "-$server_pid" 2>/dev/null || true; rm -rf "$dir"' EXIT
for _ in $(seq 100); do [ ! -S "$socket" ] || break; sleep 0.05; done

daemon_start
await 200
adm subscriber add sip:alice@example.net --psk-id alice-1 --psk-out "$dir/alice.psk" \
    --account-out "$dir/alice.json" --url "$mikey_url"
subscriber bob
request before
server_kill
await 503
refused 4 "503" request meanwhile
server_start
await 200
request after
