#!/usr/bin/env bash
# What is installed can be used: the example of docs/ is built with pkg-config against an installed
# library and makes a call; the programs find what they need there.
set -euo pipefail
admin=$1 kmsd=$2 build=$3 source=$4
. "$(dirname "$0")/daemon.sh"

DESTDIR=$dir/root meson install -C "$build" --no-rebuild --quiet >/dev/null
prefix=$dir/root/usr/local
libdir=$(dirname "$(find "$prefix" -name libtbs.so)")
export PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/root LD_LIBRARY_PATH=$libdir

# Headers stand alone.
for header in client/tbs.h client/sdp.h client/http.h; do
    echo "#include <$header>" >"$dir/one.c"
    cc -std=c17 -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags libtbs) "$dir/one.c"
done
cc -std=gnu17 -Wall -Wextra -Werror "$source/docs/examples/call.c" \
    $(pkg-config --cflags --libs libtbs libtbs-http libcurl) -o "$dir/call"

daemon_init
subscriber alice
subscriber bob
daemon_start
said=$("$dir/call" "$mikey_url" "$dir/alice.psk" "$dir/bob.psk")
echo "$said"
[ "$said" = "AES_256_CM_HMAC_SHA1_80, 2 crypto sessions: the keys are the same" ]
[ -f "$libdir/wireshark/plugins/mikey-ticket.lua" ] || { echo "the dissector is missing"; exit 1; }
for program in tbs tbs-admin tbs-kmsd tbs-media; do
    "$(find "$prefix" -name $program -type f)" --version >/dev/null
done
[ "$(find "$prefix" -name 'tbs*.[158]*' | wc -l)" -ge 6 ] || { echo "a manual page is missing"; exit 1; }
for policy in "$(find "$prefix" -path '*policies/cases' -type d)"/*.yaml; do
    "$(find "$prefix" -name tbs-admin -type f)" policy test "$policy"
done
