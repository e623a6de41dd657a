#!/usr/bin/env bash
# A rehearsal on the tokens of a site, reached through the module that the site names, as with the
# simulator of an HSM; here it is a SoftHSM with a configuration of its own.
set -euo pipefail
ceremony=$1 ceremonies=$2 verify=$3
. "$(dirname "$0")/ceremony_common.sh"

mkdir "$dir/tokens"
export SOFTHSM2_CONF=$dir/softhsm2.conf
printf 'directories.tokendir = %s\nlog.level = ERROR\n' "$dir/tokens" >"$SOFTHSM2_CONF"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/w.key.pem" 2>/dev/null
cat >"$dir/site.yaml" <<YAML
tokens: [{name: A, module: $softhsm, fresh: true, entropy: none}]
people:
  - {role: CA, name: ci-1}
  - {role: SO, name: ci-2}
  - {role: CO, name: ci-3}
  - {role: CO, name: ci-4}
  - {role: IW, name: ci-5, key: $dir/w.key.pem}
YAML
site=(--site "$dir/site.yaml")
first=$dir/first

rehearse "$first" "$ceremonies/one-token.yaml" "${site[@]}" >"$dir/said"
[ "$(ls -A "$first/rehearsal" "$first/rehearsal/tokens" | grep -c 'A\.')" = 2 ] || wrong "not two PINs"
cmp "$dir/site.yaml" "$first/site.yaml"
[ "$(find "$dir/tokens" -name '*.object' | wc -l)" -gt 5 ] || wrong "the keys are not in the token of the site"
signatures "$first/registry.jsonl" "$first" 2
openssl pkey -in "$dir/w.key.pem" -pubout | cmp - "$first/keys/ci-5.pem"

refused 7 "give --site" rehearse "$dir/no" "$ceremonies/one-token-rotate-tpk.yaml" --after "$first"
rehearse "$dir/second" "$ceremonies/one-token-rotate-tpk.yaml" --after "$first" "${site[@]}" >"$dir/said"
"$verify" --rehearsal "$first" "$dir/second" >"$dir/opinion" || wrong "$(cat "$dir/opinion")"
refused 1 "rehearsal" "$verify" "$first" "$dir/second"

# What others have made is left alone: it is not erased, and no PIN is tried.
sed -i 's/fresh: true/label: tbs-A/' "$dir/site.yaml"
refused 7 "factory-fresh" rehearse "$dir/erase" "$ceremonies/one-token.yaml" "${site[@]}"
refused 7 "none knows them" rehearse "$dir/guess" "$ceremonies/one-token-rotate-tpk.yaml" "${site[@]}"
refused 2 "drop --module" rehearse "$dir/both" "$ceremonies/one-token.yaml" "${site[@]}" --module "$softhsm"

# A rehearsal that made its own tokens goes on with them.
unset SOFTHSM2_CONF
rehearse "$dir/own" "$ceremonies/one-token.yaml" >"$dir/said"
refused 7 "drop --site" rehearse "$dir/mixed" "$ceremonies/one-token-rotate-tpk.yaml" --after "$dir/own" "${site[@]}"
