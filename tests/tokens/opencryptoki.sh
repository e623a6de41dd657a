# opencryptoki's software token. Its paths are compiled in, and one pkcsslotd serves the machine:
# it gets a mount, an IPC and a process namespace of its own, which end with the test.
if [ -z "${TBS_OWN_NAMESPACES:-}" ]; then
    [ "$(id -u)" = 0 ] || skip "opencryptoki needs root, for a private mount namespace"
    spaces=(unshare --mount --ipc --pid --fork --kill-child --mount-proc)
    "${spaces[@]}" true 2>/dev/null || skip "this machine lets nobody make a mount namespace"
    TBS_OWN_NAMESPACES=1 exec "${spaces[@]}" "$0" "$@"
fi

token_start() {
    need pkcsslotd opencryptoki
    module=$(module_path opencryptoki/libopencryptoki.so.0 libopencryptoki0)
    local own path
    for path in /run /dev/shm /etc/opencryptoki /var/lib/opencryptoki; do
        mount -t tmpfs none "$path"
    done
    own=(/var/lib/opencryptoki /run/lock/opencryptoki)
    mkdir -p /var/lib/opencryptoki/swtok/TOK_OBJ /run/lock/opencryptoki/swtok
    chgrp -R pkcs11 "${own[@]}"
    chmod -R 770 "${own[@]}"
    printf 'version opencryptoki-3.8\nslot 0\n{\nstdll = libpkcs11_sw.so\n}\n' \
        >/etc/opencryptoki/opencryptoki.conf
    pkcsslotd
    wait_for /run/pkcsslotd.socket

    local default_so=87654321 first=pin-0000 so=so-0815
    pin=pin-4711 # 4 to 8 octets
    { echo tbs | pkcsconf -c 0 -I -S "$default_so"
      pkcsconf -c 0 -P -S "$default_so" -n "$so"
      pkcsconf -c 0 -u -S "$so" -n "$first"
      pkcsconf -c 0 -p -U "$first" -n "$pin"; } >/dev/null
    uri=pkcs11:token=tbs
    kek=hmac
    ends=CKR_MECHANISM_INVALID # no key pairs on curves
    # The module forgets 4 KiB when it is unloaded, and then nobody can tell whose they are.
    export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
    quirks=(no-allowed-mechanisms no-copyable no-destroyable)
}
