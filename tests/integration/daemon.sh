# Sourced by the tests that need a running tbs-kmsd: a fresh token, store and daemon in a
# private folder, on ports the kernel chooses, gone when the script ends.
# Expects $admin and $kmsd; gives $dir, $mikey_url, $management and $kmsd_pid.
dir=$(mktemp -d /tmp/tbs-test.XXXXXX)
kmsd_pid=

daemon_stop() {
    [ -z "$kmsd_pid" ] || kill -TERM "$kmsd_pid" 2>/dev/null || true
    [ -z "$kmsd_pid" ] || wait "$kmsd_pid" || true
    kmsd_pid=
}
trap 'daemon_stop; rm -rf "$dir"' EXIT

# Further arguments go to tbs-admin init.
daemon_init() {
    "$admin" init "$dir/kms" --listen 127.0.0.1:0 --management 127.0.0.1:0 "$@" >/dev/null
}

adm() {
    "$admin" --config "$dir/kms/tbs-kmsd.yaml" "$@"
}

daemon_launch() {
    rm -f "$dir/kms/addresses"
    "$kmsd" --config "$dir/kms/tbs-kmsd.yaml" 2>"$dir/kmsd.log" &
    kmsd_pid=$!
}

daemon_await_start() {
    for _ in $(seq 100); do
        [ -s "$dir/kms/addresses" ] && break
        kill -0 "$kmsd_pid" || { cat "$dir/kmsd.log" >&2; exit 1; }
        sleep 0.1
    done
    mikey_url=http://$(sed -n 1p "$dir/kms/addresses")/mikey
    management=http://$(sed -n 2p "$dir/kms/addresses")
}

daemon_start() {
    daemon_launch
    daemon_await_start
}

subscriber() { # name: sip:NAME@example.net, key NAME-1 in $dir/NAME.psk
    adm subscriber add "sip:$1@example.net" --psk-id "$1-1" --psk-out "$dir/$1.psk"
}
