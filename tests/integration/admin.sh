#!/usr/bin/env bash
# tbs-admin on a real token and store: what fails leaves nothing behind.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3
. "$(dirname "$0")/daemon.sh"

wrong() {
    echo "$*" >&2
    exit 1
}

daemon_init
subscriber alice
subscriber bob

# --- Groups: all that are named, or none ---

adm group add sip:team@example.net
refused 1 sip:nobody@example.net \
    adm group join sip:team@example.net sip:alice@example.net sip:nobody@example.net
[ "$(adm group members sip:team@example.net | wc -l)" = 1 ] || wrong "half a join was kept"
adm group join sip:team@example.net sip:alice@example.net sip:bob@example.net
refused 1 sip:nobody@example.net \
    adm group leave sip:team@example.net sip:bob@example.net sip:nobody@example.net
[ "$(adm group members sip:team@example.net | wc -l)" = 3 ] || wrong "half a leave was kept"
