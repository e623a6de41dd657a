# The KMS of a scenario: its keys are in a SoftHSM token in kms/. See lib.sh.

declare -A identity
adm() { $admin --config kms/tbs-kmsd.yaml "$@"; }

kms_start() { # [policy]
    local policy=${1:-}
    [ -z "$policy" ] || [ -e "$policy" ] || policy=$source/policies/$policy.yaml
    "$admin" init kms --identity "sip:kms@$domain" --listen "${at[kms]}:8080" \
        --management "${at[kms]}:8081" >/dev/null
    [ -z "$policy" ] ||
        sed -i "/^kms:/a\\  policy: $(realpath "$policy")" kms/tbs-kmsd.yaml
    background kms "$kmsd" --config kms/tbs-kmsd.yaml
    await "tbs-kmsd" test -s kms/addresses
    kms_url=http://${at[kms]}:8080/mikey
}
kms_stop() { stop kms; }

new_device() { # name, command of tbs-admin...
    local name=$1; shift
    adm "$@" --psk-id "$name-1" --psk-out "$name.psk" --account-out "$name.json"
    party "$name"
}
user() { # name, [uri]
    identity[$1]=${2:-sip:$1@$domain}
    new_device "$1" subscriber add "${identity[$1]}"
}
device() { # name, of whom
    identity[$1]=$(uri "$2")
    # tbs-admin writes the account for the subscriber's primary identity, which users have alone.
    new_device "$1" credential add "${identity[$1]}"
}
network_function() { # name, role, [uri]
    user "$1" "${3:-sip:$1@$domain}"
    adm subscriber role "$(uri "$1")" "$2"
}
group() { # name, members...
    local name=$1 member; shift
    identity[$name]=sip:$name@$domain
    adm group add "$(uri "$name")"
    for member in "$@"; do
        adm group join "$(uri "$name")" "$(uri "$member")"
    done
}
uri() { echo "${identity[$1]:?nobody is called $1}"; }

counts() { # how many, wanted: N or N+
    if [[ $2 == *+ ]]; then [ "$1" -ge "${2%+}" ]; else [ "$1" -eq "$2" ]; fi
}
audited() { # how many, jq filter
    local n
    n=$(jq -c "select($2)" kms/audit.log | wc -l) || broken "jq does not understand $2"
    counts "$n" "$1" || {
        jq -c 'select(.event == "request" or .event == "resolve")' kms/audit.log >&2
        broken "the audit trail has $n lines, not $1, with $2"
    }
}
audit_whole() {
    adm audit public-key >audit.pem
    "$admin" audit verify kms/audit.log --public-key audit.pem >audit.verified
}
requests_at_kms() {
    jq -c 'select(.event == "request" or .event == "resolve")' kms/audit.log | wc -l
}
