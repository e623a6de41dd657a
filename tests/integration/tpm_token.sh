#!/usr/bin/env bash
# A TPM is tried and measured; what fails in it is told; afterwards nothing of it is left.
set -euo pipefail
admin=$1 kmsd=$2 mock=$3
command -v swtpm >/dev/null || { echo "skipped: swtpm is missing"; exit 77; }
. "$(dirname "$0")/daemon.sh"
. "$(dirname "$0")/../../tools/software_tpm.sh"
tpm=$dir/tpm
trap '[ -z "${mock_pid:-}" ] || kill "$mock_pid"; software_tpm_stop; rm -rf "$dir"' EXIT

mkdir -m 700 "$tpm"
software_tpm_swtpm "$tpm"
"$mock" "$tpm/mock" "$tpm/socket" "$tpm/script" &
mock_pid=$!
ln -s socket.ctrl "$tpm/mock.ctrl"
software_tpm_file "$tpm/mock"
daemon_init --token tpm --tcti "swtpm:path=$tpm/mock"
before=$(cd "$kms/tokens" && sha256sum ./*)

says() { # pattern
    grep -q "$1" "$dir/said" || wrong "no '$1' in: $(cat "$dir/said")"
}
token_test() { # status
    local status=0
    adm token-test >"$dir/said" || status=$?
    [ $status = "$1" ] || wrong "token-test: status $status: $(cat "$dir/said")"
    [ "$(cd "$kms/tokens" && sha256sum ./*)" = "$before" ] || wrong "the keys' files have changed"
}

# --- Tried ---

token_test 4
says 'fit for the KMS, with 2 remarks'
says '^  remark .*resource manager'
says '^  cannot .*AES-256-GCM'
says '^  ok *HMAC-SHA-256 .*OpenSSL'
says '^  refused *use a key without the PIN .*BAD_AUTH'
says '^  refused *load a key elsewhere .*INTEGRITY'
says '^  refused *hide that it is known .*INTEGRITY'
[ "$(grep -c '^  refused' "$dir/said")" = 8 ] || wrong "not eight attacks: $(cat "$dir/said")"

echo "fail Sign FAILURE" >"$tpm/script"
token_test 4
says '^  cannot .*ECDSA on P-256 .*FAILURE'
rm "$tpm/script"
sed -i 's/^custody:/&\n  plain_bus: true/' "$kms/tbs-kmsd.yaml"
token_test 4
says '^  remark *the bus .*in the clear'
echo "fail HMAC FAILURE" >"$tpm/script"
token_test 5
says '^  unfit *HMAC-SHA-256 .*FAILURE'
says 'not fit for the KMS'
refused 1 FAILURE adm token-bench
rm "$tpm/script"

# --- Measured, beside the library alone ---

adm token-bench --sessions 2 --json >"$dir/said"
/usr/bin/python3 - "$dir/said" <<'END'
import json, sys
rows = json.load(open(sys.argv[1]))
assert [row["sessions"] for row in rows] == \
    ["1", "2", "raw, in the clear", "raw, in a session"], rows
for row in rows:
    for operation in "hmac", "unwrap", "random", "tickets", "resolves":
        assert int(row[operation]) > 0, row
clear, session = rows[2:]
assert int(clear["hmac"]) > 3 * int(session["hmac"]), rows
END
[ "$(cd "$kms/tokens" && sha256sum ./*)" = "$before" ] || wrong "the keys' files have changed"
