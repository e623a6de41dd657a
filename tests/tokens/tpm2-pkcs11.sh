# tpm2-pkcs11 on a software TPM, behind a resource manager on a bus of its own.
. "$(dirname "$0")/../../tools/software_tpm.sh"

token_start() {
    need swtpm swtpm
    need tpm2-abrmd tpm2-abrmd
    need tpm2_getcap tpm2-tools
    need dbus-daemon dbus-daemon
    need tpm2_ptool libtpm2-pkcs11-tools
    module=$(module_path pkcs11/libtpm2_pkcs11.so libtpm2-pkcs11-1)
    software_tpm_start "$dir/tpm"
    mkdir "$dir/tpm/store"
    environment=("DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus" TSS2_LOG=all+NONE
        "TPM2_PKCS11_STORE=$dir/tpm/store" TPM2_PKCS11_TCTI=tabrmd:bus_type=session)

    pin=tpm-pin-4711
    ptool() { # command, arguments
        env "${environment[@]}" "$tools" tpm2_ptool "$1" --path "$dir/tpm/store" "${@:2}" \
            >>"$dir/tpm/log" 2>&1 || { cat "$dir/tpm/log" >&2; exit 1; }
    }
    local key tools=TPM2TOOLS_TCTI=tabrmd:bus_type=session
    ptool init
    ptool addtoken --pid 1 --label tbs --sopin so-0815 --userpin "$pin"
    for key in sha256=tpk-2026-01 sha1=tpk-sha1-2026-01 sha256=kek-2026-01; do
        ptool addkey --label tbs --userpin "$pin" --algorithm "hmac:${key%%=*}" --id "${key#*=}"
    done
    has_keys=1 suites=256
    uri=pkcs11:token=tbs
    quirks=(key-type-hmac serial-only)
}
