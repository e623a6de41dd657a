#!/usr/bin/env bash
# tbs and an independent peer call each other, in both suites, with and without forking, with
# each type of key; the keys that both come to are compared.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3 peer=$4
. "$(dirname "$0")/daemon.sh"

daemon_init
subscriber alice
subscriber bob
daemon_start
/usr/bin/python3 "$peer" "$tbs" "$mikey_url" "$dir"
