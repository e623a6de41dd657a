# Sourced by tools/demo, tools/test and the programs that are run by hand under tests/.

# Packages of Debian 12: to build and run, and beyond that to test.
build_packages=(gcc meson ninja-build pkg-config libssl-dev libp11-kit-dev softhsm2
                libsqlite3-dev libjansson-dev libevent-dev libcyaml-dev libyaml-dev
                libsystemd-dev libcurl4-openssl-dev libsrtp2-dev libsndfile1-dev libpcap-dev
                libtss2-dev libcmocka-dev libqrencode-dev libpango1.0-dev)
test_packages=(clang libclang-rt-14-dev clang-format p11-kit p11-kit-modules opensc python3
               python3-cryptography poppler-utils curl jq groff man-db systemd
               libnss3 libnss3-tools opencryptoki libtpm2-pkcs11-1 libtpm2-pkcs11-tools
               tpm2-tools tpm2-abrmd libtss2-tcti-tabrmd0 swtpm dbus-daemon tpm2-openssl haproxy
               tshark)

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

# --- For programs that show something, step by step ---

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' green=$'\e[32m' dim=$'\e[2m' plain=$'\e[0m'
else
    bold='' green='' dim='' plain=''
fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
ok() { printf '  %s✓%s %s\n' "$green" "$plain" "$*"; }
note() { printf '    %s%s%s\n' "$dim" "$*" "$plain"; }
broken() { printf '  ✗ %s\n' "$*" >&2; exit 1; }

# A folder for what is shown; one of an earlier run makes way, anybody else's does not.
own_folder() { # folder
    if [ -e "$1" ] && [ ! -f "$1/.$(basename "$0")" ]; then
        echo "$0: $1 is there and is not of an earlier run: name another folder" >&2
        exit 2
    fi
    rm -rf "$1"
    mkdir -p "$1"
    touch "$1/.$(basename "$0")"
}

# The daemon of $PWD/kms; its own ports.
kmsd_pid=
kmsd_stop() {
    [ -z "$kmsd_pid" ] || { kill -TERM "$kmsd_pid" 2>/dev/null && wait "$kmsd_pid"; } || true
    kmsd_pid=
}
kmsd_start() { # sets $url
    rm -f kms/addresses
    $kmsd --config kms/tbs-kmsd.yaml 2>kms.log &
    kmsd_pid=$!
    for _ in $(seq 100); do
        [ ! -s kms/addresses ] || break
        kill -0 "$kmsd_pid" 2>/dev/null || { cat kms.log >&2; broken "tbs-kmsd did not start"; }
        sleep 0.05
    done
    url=http://$(sed -n 1p kms/addresses)/mikey
}
