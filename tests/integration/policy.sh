#!/usr/bin/env bash
# A policy of files in a running daemon: network functions by role, tickets that are end to end,
# members that leave, rules that are replaced while it runs, and the rule in the audit trail.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3 policies=$4
. "$(dirname "$0")/daemon.sh"

user() { # name: a subscriber with the account $dir/NAME.json
    adm subscriber add "sip:$1@example.net" --psk-id "$1-1" --psk-out "$dir/$1.psk" \
        --account-out "$dir/$1.json" --url "$mikey_url"
}
n=0
offer() { # responder, further options of tbs request: the file $offer
    local to=$1
    shift
    n=$((n + 1)) offer=$dir/$n.offer
    "$tbs" request --account "$dir/alice.json" --to "$to" --no-forking "$@" --out "$dir/$n.ticket" \
        >/dev/null && "$tbs" offer --ticket "$dir/$n.ticket" --to "$to" --out "$offer"
}
resolve() { # name, of whom the ticket is, further options of tbs resolve
    local who=$1 to=$2
    shift 2
    rm -f "$dir/keys"
    "$tbs" resolve --account "$dir/$who.json" --offer "$offer" --group "$to" "$@" --out "$dir/keys"
}
gets_keys() {
    resolve "$@" >/dev/null || wrong "$1 is refused"
}
is_denied() { # by the KMS, not by tbs itself
    local before
    before=$(grep -c '"outcome":"denied"' "$kms/audit.log" || true)
    refused 3 "" resolve "$@"
    [ "$(grep -c '"outcome":"denied"' "$kms/audit.log")" = $((before + 1)) ] || wrong "not asked"
}
last_rule() { # event, name
    [[ $(grep "\"event\":\"$1\"" "$kms/audit.log" | tail -n 1) == *"\"rule\":\"$2 ("* ]] ||
        wrong "not decided by $2: $(grep "\"event\":\"$1\"" "$kms/audit.log" | tail -n 1)"
}
reload() { # event that the log then has
    local before
    before=$(grep -c "$1" "$dir/kmsd.log" || true)
    kill -HUP "$kmsd_pid"
    for _ in $(seq 50); do
        [ "$(grep -c "$1" "$dir/kmsd.log" || true)" -gt "$before" ] && return
        sleep 0.1
    done
    wrong "no $1: $(cat "$dir/kmsd.log")"
}

daemon_init
daemon_start
grep -q 'policy.*built in' "$dir/kmsd.log" || wrong "no word of the policy"
for name in alice bob rec mixer; do user $name; done
adm subscriber role sip:rec@example.net recorder
adm subscriber role sip:mixer@example.net transcoder

echo "The built-in policy lets no network function in"
offer sip:bob@example.net --app tbs:allow:recorder
gets_keys bob sip:bob@example.net
last_rule resolve named-or-member
is_denied rec sip:bob@example.net
is_denied mixer sip:bob@example.net

echo "A policy file, while it runs"
cat >"$kms/policy.yaml" <<'YAML'
version: 1
include: [more.yaml]
requests:
  - name: some
    effect: allow
    to: ["*@example.net"]
    grant: {max_validity: 600, initiator_keys: refused}
YAML
cat >"$kms/more.yaml" <<'YAML'
version: 1
resolves:
  - {name: named, effect: allow, as: [named, member]}
  - {name: media, effect: allow, as: [network-function], who: {roles: [transcoder]}}
  - {name: agreed, effect: allow, as: [network-function], who: {roles: [recorder]},
     initiator_allows: true}
YAML
sed -i 's/^kms:/kms:\n  policy: policy.yaml/' "$kms/tbs-kmsd.yaml"
reload reloaded
refused 3 "for 600 seconds only" offer sip:bob@example.net --valid 8h
refused 3 "did not grant the flags L" offer sip:bob@example.net --initiator-keys
refused 3 "Error 15" offer sip:bob@example.net --initiator-keys --key none
offer sip:bob@example.net --responder-keys --key none # who may supply session keys
gets_keys bob sip:bob@example.net
offer sip:bob@example.net
last_rule request some
gets_keys mixer sip:bob@example.net
last_rule resolve media
is_denied rec sip:bob@example.net
offer sip:bob@example.net --app tbs:allow:recorder
gets_keys rec sip:bob@example.net
last_rule resolve agreed
refused 3 "" offer sip:bob@elsewhere.example

echo "What is end to end stays closed to them"
offer sip:bob@example.net --app tbs:allow:recorder --app tbs:end-to-end
is_denied rec sip:bob@example.net
is_denied mixer sip:bob@example.net
gets_keys bob sip:bob@example.net
grep -q 'end to end' <<<"$(grep '"event":"resolve"' "$kms/audit.log")" || wrong "not told why"

echo "The policy closes tickets, and narrows them to applications"
cat >"$kms/policy.yaml" <<'YAML'
version: 1
include: [more.yaml]
limits: {requests_per_minute: 60}
requests:
  - {name: closed, effect: allow, to: ["sip:bob@example.net"], applications: [voice],
     grant: {end_to_end: true}}
  - {name: others, effect: allow}
YAML
reload reloaded
offer sip:bob@example.net
last_rule request closed
is_denied mixer sip:bob@example.net --app voice
refused 3 "for other applications" resolve bob sip:bob@example.net
gets_keys bob sip:bob@example.net --app voice
offer sip:bob@example.net --app text
last_rule request others
gets_keys bob sip:bob@example.net --app text
sed -i 's/minute: 60/minute: 1/' "$kms/policy.yaml"
reload reloaded
for _ in 1 2; do # a minute may end between two of three
    offer sip:bob@example.net --app voice 2>/dev/null || true
done
refused 3 "" offer sip:bob@example.net --app voice
grep -q 'its 1 requests of this minute' <<<"$(grep '"event":"request"' "$kms/audit.log")" || wrong "no limit"
sed -i '/^limits/d; /closed/,/end_to_end/d' "$kms/policy.yaml"
reload reloaded

echo "Who left, or whose time is over, gets no keys"
adm group add sip:team@example.net
adm group join sip:team@example.net sip:bob@example.net
offer sip:team@example.net
gets_keys bob sip:team@example.net
adm group leave sip:team@example.net sip:bob@example.net
is_denied bob sip:team@example.net
adm group join sip:team@example.net sip:bob@example.net --until 2026-01-01
is_denied bob sip:team@example.net
adm group leave sip:team@example.net sip:bob@example.net
refused 1 "takes a time" adm group join sip:team@example.net sip:bob@example.net --from tomorrow
refused 1 "ends after it begins" adm group join sip:team@example.net sip:bob@example.net \
    --from 2030-01-02 --until 2030-01-01
adm group join sip:team@example.net sip:bob@example.net --from 2020-01-01 --until 2100-01-01T00:00:00Z
gets_keys bob sip:team@example.net
grep -q '2020-01-01T00:00:00Z  2100-01-01T00:00:00Z' <<<"$(adm group members sip:team@example.net)" ||
    wrong "the times are not listed"

[ "$(grep -c '"event":"policy"' "$kms/audit.log")" -ge 4 ] || wrong "new rules are not in the trail"

echo "A mistake keeps the rules in use"
sed -i 's/effect: allow, as: \[named/effect: alow, as: [named/' "$kms/more.yaml"
reload policy-kept
grep -q 'more.yaml:3: effect must be allow or deny' "$dir/kmsd.log" || wrong "no file and line"
offer sip:bob@example.net
gets_keys bob sip:bob@example.net
last_rule resolve named
refused 3 "more.yaml:3: effect must be allow or deny" "$kmsd" --config "$kms/tbs-kmsd.yaml" --check
sed -i 's/alow/deny/' "$kms/more.yaml"
reload reloaded
is_denied bob sip:bob@example.net
last_rule resolve named

echo "Explained from the store"
said=$(adm policy explain-resolve - sip:bob@example.net sip:alice@example.net sip:bob@example.net)
[[ $said == *"denied by rule named ($kms/more.yaml:3)"* ]] || wrong "$said"
said=$(adm policy explain-resolve "$policies/carrier.yaml" sip:rec@example.net \
    sip:alice@example.net sip:bob@example.net --application tbs:end-to-end)
[[ $said == *"a ticket without the mark tbs:end-to-end"* ]] || wrong "$said"
said=$(adm policy explain-request "$policies/default.yaml" sip:alice@example.net \
    sip:bob@example.net --at 2026-06-01T12:00:00Z)
[[ $said == *"granted by rule every-subscriber"*"the validity ends earlier"* ]] || wrong "$said"
refused 1 sip:nobody@example.net adm policy explain-request - sip:nobody@example.net sip:bob@example.net

echo "Checked and tested"
printf 'version: 1\nrequests:\n- {name: a, effect: allow}\n- {name: b, effect: allow}\n' >"$dir/p.yaml"
refused 4 "rule b never decides" "$admin" policy check "$dir/p.yaml"
sed 's/effect: allow/effect: yes/' "$dir/p.yaml" >"$dir/q.yaml"
refused 3 "q.yaml:3: effect must be allow or deny" "$admin" policy check "$dir/q.yaml"
sed "s|\.\./|$policies/|; s/outcome: denied, rule: none/outcome: granted/" \
    "$policies/cases/default.yaml" >"$dir/cases.yaml"
refused 1 "the outcome is denied, expected granted" "$admin" policy test "$dir/cases.yaml"
