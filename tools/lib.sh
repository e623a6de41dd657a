# Sourced by tools/demo, tools/test and the programs that are run by hand under tests/.

# Packages of Debian 12: to build and run, and beyond that to test.
build_packages=(gcc meson ninja-build pkg-config libssl-dev libp11-kit-dev softhsm2
                libsqlite3-dev libjansson-dev libevent-dev libcyaml-dev libyaml-dev
                libsystemd-dev libcurl4-openssl-dev libsrtp2-dev libsndfile1-dev libpcap-dev
                libtss2-dev libcmocka-dev libqrencode-dev libpango1.0-dev)
test_packages=(clang libclang-rt-14-dev clang-format p11-kit p11-kit-modules opensc python3
               python3-cryptography poppler-utils curl jq groff man-db systemd
               libnss3 libnss3-tools opencryptoki libtpm2-pkcs11-1 libtpm2-pkcs11-tools
               tpm2-tools tpm2-abrmd libtss2-tcti-tabrmd0 swtpm dbus-daemon tshark)

install_missing() { # packages
    local missing=() p sudo=()
    for p in "$@"; do
        [[ $(dpkg-query -W -f='${Status}' "$p" 2>/dev/null) == *'ok installed' ]] || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "Installing: ${missing[*]}"
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "${missing[@]}" >/dev/null
}

build() { # directory, compiler, further options of meson setup
    local dir=$1 compiler=$2; shift 2
    if [ ! -f "$dir/build.ninja" ]; then
        CC=$compiler meson setup "$dir" "$@" >"$dir.log" 2>&1 || { cat "$dir.log" >&2; return 1; }
        rm -f "$dir.log"
    fi
    ninja -C "$dir" --quiet
}
