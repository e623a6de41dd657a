#!/usr/bin/env bash
# The token of a running tbs-kmsd fails, as told from outside, and the daemon says so; what the
# token was asked can be read while the daemon runs.
set -euo pipefail
admin=$1 kmsd=$2 mock=$3
. "$(dirname "$0")/daemon.sh"
. "$(dirname "$0")/mock.sh"

await_ready() { # status
    local got
    for _ in $(seq 100); do
        got=$(curl -s -o "$dir/ready" -w '%{http_code}' "$management/readyz")
        [ "$got" != "$1" ] || return 0
        sleep 0.1
    done
    echo "readyz: $got instead of $1: $(cat "$dir/ready")" >&2
    exit 1
}

daemon_init
mock_configure
echo "login flags LOCKED" | mock_script
if "$kmsd" --config "$dir/kms/tbs-kmsd.yaml" 2>"$dir/kmsd.log"; then
    echo "started with a locked PIN" >&2
    exit 1
fi
grep -q "is locked" "$dir/kmsd.log"

mock_script </dev/null
daemon_start
await_ready 200
[ "$(mock_count login.CKR_OK)" = 1 ]
[ "$(mock_count C_Sign.failed)" = 0 ]
signed=$(mock_count C_Sign)
echo "fail C_Sign CKR_DEVICE_ERROR" | mock_script
await_ready 503
grep -q CKR_DEVICE_ERROR "$dir/ready"
[ "$(mock_count C_Sign.failed)" -ge 1 ]
[ "$(mock_count C_Sign)" -gt "$signed" ]
mock_script </dev/null
await_ready 200
