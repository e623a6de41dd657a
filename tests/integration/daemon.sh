# Sourced by the tests that need a running tbs-kmsd: a fresh token, store and daemon in a
# private folder, on ports the kernel chooses, gone when the script ends.
# Expects $admin and $kmsd; gives $dir, $kms (the folder of the KMS), $mikey_url, $management and
# $kmsd_pid.
dir=$(mktemp -d /tmp/tbs-test.XXXXXX)
kms=$dir/kms
kmsd_pid=

daemon_stop() {
    [ -z "$kmsd_pid" ] || kill -TERM "$kmsd_pid" 2>/dev/null || true
    [ -z "$kmsd_pid" ] || wait "$kmsd_pid" || true
    kmsd_pid=
}
trap 'daemon_stop; rm -rf "$dir"' EXIT

# Further arguments go to tbs-admin init.
daemon_init() {
    records=("$kms/ceremony")
    "$admin" init "$kms" --listen 127.0.0.1:0 --management 127.0.0.1:0 "$@" >/dev/null
}

adm() {
    "$admin" --config "$kms/tbs-kmsd.yaml" "$@"
}

daemon_launch() {
    rm -f "$kms/addresses"
    "$kmsd" --config "$kms/tbs-kmsd.yaml" 2>"$dir/kmsd.log" &
    kmsd_pid=$!
}

daemon_await_start() {
    for _ in $(seq 100); do
        [ -s "$kms/addresses" ] && break
        kill -0 "$kmsd_pid" || { cat "$dir/kmsd.log" >&2; exit 1; }
        sleep 0.1
    done
    mikey_url=http://$(sed -n 1p "$kms/addresses")/mikey
    management=http://$(sed -n 2p "$kms/addresses")
}

daemon_start() {
    daemon_launch
    daemon_await_start
}

subscriber() { # name: sip:NAME@example.net, key NAME-1 in $dir/NAME.psk
    adm subscriber add "sip:$1@example.net" --psk-id "$1-1" --psk-out "$dir/$1.psk"
}

# Performs a further ceremony on the token of the KMS, in rehearsal; its registry takes the place of
# the one before.
ceremony() { # script
    local record
    record=$(mktemp -d "$dir/record.XXXXXX")
    "$(dirname "$admin")/../tbs-ceremony/tbs-ceremony" run --rehearse --answers auto --script "$1" \
        --after "${records[-1]}" "$record/ceremony" >"$record/said" || wrong "$(tail -n 5 "$record/said")"
    records+=("$record/ceremony")
    cp "$record/ceremony/registry.jsonl" "$kms/key-registry"
}
ceremonies=$(dirname "${BASH_SOURCE[0]}")/../../policies/ceremonies

# For tests that have a registry of their own, or keys that no ceremony made.
without_registry() {
    sed -i '/^  registry:/,/^    rehearsal:/d' "$kms/tbs-kmsd.yaml"
}

wrong() {
    echo "$*" >&2
    exit 1
}

refused() { # status, part of the sentence, command...
    local status=0 want=$1 part=$2 said
    shift 2
    said=$("$@" 2>&1) || status=$?
    [[ $status == "$want" && $said == *"$part"* ]] ||
        wrong "$*: status $status instead of $want with '$part': $said"
}

destroy_key() { # id; in the real token, where the mock passes on to it
    SOFTHSM2_CONF=$kms/tokens/softhsm2.conf USER_PIN=$(cat "$kms/tokens/A.user-pin") pkcs11-tool \
        --module "${MOCK_PKCS11_MODULE:-$(sed -n 's/^ *module: //p' "$kms/tbs-kmsd.yaml")}" --login \
        --pin env:USER_PIN --delete-object --type secrkey \
        --id "$(printf %s "$1" | od -An -tx1 | tr -d ' \n')" 2>/dev/null
}
