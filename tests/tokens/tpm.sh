# A software TPM of its own backend, behind a resource manager on a bus of its own.
. "$(dirname "$0")/../../tools/software_tpm.sh"

token_start() {
    need swtpm swtpm
    need tpm2-abrmd tpm2-abrmd
    need tpm2_readpublic tpm2-tools
    need dbus-daemon dbus-daemon
    software_tpm_start "$dir/tpm"
    export DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus TPM2TOOLS_TCTI=tabrmd:bus_type=session

    tcti=tabrmd:bus_type=session keys=$dir/tpm/kms/tokens kek=hmac
    "$admin" init "$dir/tpm/kms" --token tpm --tcti "$tcti"
    pin=$(cat "$dir/tpm/kms/user.pin")
    rm "$keys"/{tpk,kek,audit}-*.json # run.sh makes them
}

# What tpm2-tools say of the keys, and of what must not be.
token_check() {
    local id attributes part
    take() { # id
        for part in public private; do
            /usr/bin/python3 -c 'import base64, json, sys
key = json.load(open(sys.argv[1]))
sys.stdout.buffer.write(base64.b64decode(key[sys.argv[2]]))' \
                "$keys/$1.json" $part >"$dir/tpm/$1.$part"
        done
    }
    tpm2_createprimary -Q -C o -g sha256 -G ecc:aes128cfb -c "$dir/tpm/primary.ctx" -a \
        'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
    take token
    tpm2_load -Q -C "$dir/tpm/primary.ctx" -u "$dir/tpm/token.public" -r "$dir/tpm/token.private" \
        -c "$dir/tpm/token.ctx"
    for id in tpk-2026-01 tpk-sha1-2026-01 kek-2026-01; do
        take $id
        tpm2_load -Q -C "$dir/tpm/token.ctx" -P "$pin" -u "$dir/tpm/$id.public" \
            -r "$dir/tpm/$id.private" -c "$dir/tpm/$id.ctx"
        tpm2_readpublic -c "$dir/tpm/$id.ctx" >"$dir/tpm/told"
        attributes=$(sed -n '/^attributes:/,/^[a-z]/s/^  value: //p' "$dir/tpm/told")
        [ "$attributes" = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign' ] ||
            { cat "$dir/tpm/told" >&2; exit 1; }
        ! tpm2_hmac -Q -c "$dir/tpm/$id.ctx" "$dir/tpm/told" 2>/dev/null ||
            { echo "$id works without the PIN" >&2; exit 1; }
        tpm2_hmac -Q -c "$dir/tpm/$id.ctx" -p "$pin" -o "$dir/tpm/mac" "$dir/tpm/told"
    done
}
