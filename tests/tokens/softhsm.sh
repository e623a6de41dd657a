# SoftHSM, which the other integration tests use, too: for comparison.
token_start() {
    need softhsm2-util softhsm2
    module=$(module_path softhsm/libsofthsm2.so libsofthsm2)
    pin=hsm-pin-4711
    environment=("SOFTHSM2_CONF=$dir/kms/tokens/softhsm2.conf")
    env "${environment[@]}" softhsm2-util --init-token --free --label other --pin "$pin" \
        --so-pin so-0815 >/dev/null
    uri=pkcs11:token=other
}
