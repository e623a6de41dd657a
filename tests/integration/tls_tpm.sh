#!/usr/bin/env bash
# HTTPS in front of tbs-kmsd, by HAProxy, with a key that only a software TPM has: through OpenSSL's
# provider tpm2. `tbs` verifies the certificate.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3
here=$(dirname "$(realpath "$0")")
. "$here/daemon.sh"
. "$here/../../tools/software_tpm.sh"

for program in swtpm tpm2-abrmd tpm2_clear dbus-daemon openssl haproxy; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
[ -n "$(find /usr/lib/*/ossl-modules -name tpm2.so)" ] ||
    { echo "tpm2-openssl is not installed"; exit 77; }
front_pid=
finish() {
    [ -z "$front_pid" ] || kill "$front_pid" || true
    daemon_stop
    software_tpm_stop
    rm -rf "$dir"
}
trap finish EXIT

software_tpm_start "$dir/tpm"
export DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus TPM2OPENSSL_TCTI=tabrmd:bus_type=session \
    TPM2TOOLS_TCTI=tabrmd:bus_type=session TSS2_LOG=all+NONE
cd "$dir"

echo "A key in the TPM, and a certificate"
in_tpm=(-provider tpm2 -provider default
    -propquery '?provider=tpm2,tpm2.digest!=yes,tpm2.cipher!=yes')
openssl genpkey "${in_tpm[@]}" -algorithm EC -pkeyopt group:P-256 -out tls.key 2>log
openssl req "${in_tpm[@]}" -new -key tls.key -subj /CN=kms -addext subjectAltName=DNS:localhost \
    -out tls.csr 2>log
authority() { # name
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$1.key" \
        -subj "/CN=$1" -days 2 -out "$1.pem" 2>log
}
authority ca
authority another
openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copy -out tls.pem \
    2>log
cat tls.pem tls.key >front.pem
chmod 600 front.pem
grep -q "BEGIN TSS2 PRIVATE KEY" front.pem || wrong "no key of a TPM"
refused 1 "" openssl pkey -in tls.key

echo "HAProxy before the KMS"
daemon_init
subscriber alice
subscriber bob
daemon_start
port=$(/usr/bin/python3 -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])')
cat >haproxy.cfg <<TEXT
global
    nbthread 1
    ssl-provider default
    ssl-provider tpm2
    ssl-propquery ?provider=tpm2,tpm2.digest!=yes,tpm2.cipher!=yes
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend kms
    bind 127.0.0.1:$port ssl crt $dir/front.pem
    default_backend kms
backend kms
    server kms $(sed -n 1p "$kms/addresses")
TEXT
front_start() {
    haproxy -f haproxy.cfg >haproxy.log 2>&1 &
    front_pid=$!
    for _ in $(seq 100); do
        ! true 2>/dev/null <>"/dev/tcp/127.0.0.1/$port" || return 0
        kill -0 "$front_pid" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}
front_start || wrong "HAProxy does not start: $(cat haproxy.log)"

account() { # name, ca, host
    cat >"$1.json" <<TEXT
{"url": "https://$3:$port/mikey", "kms": "sip:kms@example.net",
 "identity": "sip:alice@example.net", "psk_id": "alice-1", "psk_file": "alice.psk", "ca_file": "$2"}
TEXT
}
account alice ca.pem localhost
account unknown another.pem localhost
account misnamed ca.pem 127.0.0.1
account nowhere none.pem localhost
jq -c 'del(.ca_file)' alice.json >system.json

request() { # account
    "$tbs" request --account "$1.json" --to sip:bob@example.net --out "$1.ticket"
}
request alice
[ -s alice.ticket ] || wrong "no ticket"
for name in unknown misnamed system; do
    refused 3 "the server is not trusted to be the KMS's" request $name
done
refused 1 "the file of CAs cannot be used" request nowhere
chain=$(openssl s_client -connect "127.0.0.1:$port" -verify_return_error -CAfile ca.pem \
    -verify_hostname localhost -brief </dev/null 2>&1)
[[ $chain == *"Verification: OK"*"localhost"* && $chain == *TLSv1.3* ]] || wrong "$chain"
pids=()
for i in 1 2 3 4 5 6; do
    "$tbs" request --account alice.json --to sip:bob@example.net --out "many$i.ticket" &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    wait "$pid" || wrong "not all of six at a time were answered: $(cat haproxy.log)"
done

echo "Without its TPM the key is nothing"
kill "$front_pid"
wait "$front_pid" || true
front_pid=
tpm2_clear
! front_start || wrong "HAProxy starts with a key of a TPM that was cleared"
front_pid=
