# tpm2-pkcs11 on a software TPM, behind a resource manager on a bus of its own.
token_start() {
    need swtpm swtpm
    need tpm2-abrmd tpm2-abrmd
    need dbus-daemon dbus-daemon
    need tpm2_ptool libtpm2-pkcs11-tools
    module=$(module_path pkcs11/libtpm2_pkcs11.so libtpm2-pkcs11-1)
    mkdir -p "$dir/tpm/state" "$dir/tpm/store"
    swtpm socket --tpm2 --tpmstate "dir=$dir/tpm/state" --flags not-need-init,startup-clear \
        --server "type=unixio,path=$dir/tpm/socket" \
        --ctrl "type=unixio,path=$dir/tpm/socket.ctrl" 2>"$dir/tpm/swtpm.log" &
    token_pids+=($!)
    wait_for "$dir/tpm/socket"
    dbus-daemon --session --nofork --print-address >"$dir/tpm/bus" 2>"$dir/tpm/bus.log" &
    token_pids+=($!)
    wait_for "$dir/tpm/bus"
    environment=("DBUS_SESSION_BUS_ADDRESS=$(cat "$dir/tpm/bus")" TSS2_LOG=all+NONE
        "TPM2_PKCS11_STORE=$dir/tpm/store" TPM2_PKCS11_TCTI=tabrmd:bus_type=session)
    env "${environment[@]}" tpm2-abrmd --session --allow-root \
        "--tcti=swtpm:path=$dir/tpm/socket" 2>"$dir/tpm/abrmd.log" &
    token_pids+=($!)

    pin=tpm-pin-4711
    ptool() { # command, arguments
        env "${environment[@]}" "$tools" tpm2_ptool "$1" --path "$dir/tpm/store" "${@:2}" \
            >>"$dir/tpm/log" 2>&1 || { cat "$dir/tpm/log" >&2; exit 1; }
    }
    local key tools=TPM2TOOLS_TCTI=tabrmd:bus_type=session
    for _ in $(seq 100); do
        ! env "${environment[@]}" "$tools" tpm2_getcap algorithms >/dev/null 2>&1 || break
        sleep 0.05
    done
    ptool init
    ptool addtoken --pid 1 --label tbs --sopin so-0815 --userpin "$pin"
    for key in sha256=tpk-2026-01 sha1=tpk-sha1-2026-01 sha256=kek-2026-01; do
        ptool addkey --label tbs --userpin "$pin" --algorithm "hmac:${key%%=*}" --id "${key#*=}"
    done
    has_keys=1 suites=256
    uri=pkcs11:token=tbs
    quirks=(key-type-hmac serial-only)
}
