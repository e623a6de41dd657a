#!/usr/bin/env bash
# A daemon under mutated messages: see mutations.c. It must answer each one as documented, keep
# its memory, and stop without a complaint of a sanitizer.
set -euo pipefail
admin=$1 kmsd=$2 mutations=$3 count=$4 seed=$5
here=$(dirname "$0")
. "$here/../integration/daemon.sh"

# What a sanitizer keeps back of freed memory is full soon.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=16

daemon_init
# 503 is no answer here: nothing is to take longer than it may.
sed -i 's/^server:$/server:\n  deadline_ms: 60000/' "$dir/kms/tbs-kmsd.yaml"
subscriber alice
subscriber bob
adm group add sip:team@example.net --name "The team"
adm group join sip:team@example.net sip:bob@example.net
daemon_start
/usr/bin/python3 "$here/seeds.py" "$mikey_url" "$dir"

"$mutations" "$(sed -n 1p "$dir/kms/addresses")" "$kmsd_pid" "$dir" "$count" "$seed" || {
    tail -40 "$dir/kmsd.log" >&2
    exit 1
}
kill -TERM "$kmsd_pid"
wait "$kmsd_pid" || {
    echo "tbs-kmsd ended with status $?" >&2
    tail -40 "$dir/kmsd.log" >&2
    exit 1
}
kmsd_pid=
if grep -E "Sanitizer|runtime error" "$dir/kmsd.log" >&2; then
    exit 1
fi
echo "$(wc -l <"$dir/kmsd.log") lines in the log, and no complaint of a sanitizer"
