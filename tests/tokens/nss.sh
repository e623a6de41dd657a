# NSS softokn: a database of its own, named by a text for C_Initialize.
token_start() {
    need certutil libnss3-tools
    module=$(module_path libsoftokn3.so libnss3)
    mkdir "$dir/nss"
    pin=nss-pin-4711
    printf '%s\n' "$pin" >"$dir/nss.pin"
    certutil -N -d "sql:$dir/nss" -f "$dir/nss.pin"
    init_args="configdir='sql:$dir/nss' certPrefix='' keyPrefix='' secmod='secmod.db' flags= dbTokenDescription='tbs'"
    uri=pkcs11:token=tbs
    ends="let somebody copy"
    quirks=(no-allowed-mechanisms no-copyable no-destroyable no-local)
}
