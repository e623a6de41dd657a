# Sourced after daemon.sh by the tests of a daemon whose token misbehaves. Expects $mock, the
# module of tests/mock-pkcs11; its README tells the language and the counters.
export MOCK_PKCS11_SCRIPT=$dir/mock.script MOCK_PKCS11_LOG=$dir/mock.log

mock_script() { # the rules on stdin; they hold from the token's next call on
    cat >"$dir/mock.new"
    mv "$dir/mock.new" "$MOCK_PKCS11_SCRIPT"
}
mock_script </dev/null

mock_count() { # counter
    awk -v name="$1" '$2 == name { print $1 }' "$MOCK_PKCS11_LOG.$kmsd_pid"
}

# The daemon's configuration names the mock instead of the real module, which it passes on to.
mock_configure() {
    MOCK_PKCS11_MODULE=$(sed -n 's/^ *module: //p' "$dir/kms/tbs-kmsd.yaml")
    export MOCK_PKCS11_MODULE
    sed -i "s|module: .*|module: $mock|" "$dir/kms/tbs-kmsd.yaml"
}
