# kamailio and user agents of a scenario: SIP over TCP, since offers with a ticket are longer than
# the 1300 octets that RFC 3261 18.1.1 leaves to UDP. See lib.sh.

proxy_start() { # [routes]
    local name addresses=()
    for name in "${!at[@]}"; do
        addresses+=(-A "AT_${name^^}=\"${at[$name]}\"")
    done
    mkdir proxy
    cp "$scenarios/lib/kamailio.cfg" proxy/
    cp "${1:-$scenarios/lib/routes.cfg}" proxy/routes.cfg
    background proxy kamailio -f proxy/kamailio.cfg -DD -E -m 32 -M 4 -w "$PWD/proxy" \
        -P "$PWD/proxy/pid" -l "tcp:${at[proxy]}:5060" -l "udp:${at[proxy]}:5060" \
        -A "DOMAIN=\"$domain\"" -A "RTPENGINE=\"udp:${at[relay]}:2223\"" "${addresses[@]}"
    await "kamailio listens" nc_open "${at[proxy]}" 5060
}
proxy_mode() { kamcmd -s unix:proxy/control pv.shvSet mode str "$1" >/dev/null; }

# Before proxy_start: the proxy looks for it then.
rtpengine_start() { # [options]
    background rtpengine rtpengine --foreground --log-stderr --log-level=6 --table=-1 \
        --interface="${at[relay]}" --listen-ng="${at[relay]}:2223" --port-min=30000 --port-max=30999 \
        --delete-delay=0 --config-file=none "$@"
    await "rtpengine listens" listens "${at[relay]}:2223"
}
legacy() { # name, scenario of sipp: a user agent that knows no MIKEY, at the address of a party
    background "$1" sipp -sf "$2" -i "${at[$1]}" -p 5060 -t t1 -m 1 -nostdin -timeout 20 \
        -timeout_error
    await "sipp listens" nc_listens "${at[$1]}" 5060
}
nc_listens() { [ -n "$(ss -Htln "src = $1:$2")" ]; }
nc_open() { (: >"/dev/tcp/$1/$2") 2>/dev/null; }

declare -A ua_fd
ua() { # name, [options]
    local name=$1 fd; shift
    mkfifo "$name.commands"
    background "$name" "$build/tests/scenarios/ua/tbs-ua" --name "$name" --account "$name.json" \
        --proxy "${at[proxy]}" --address "${at[$name]}" --messages messages "$@" \
        --commands "$name.commands" --events "$name.events"
    exec {fd}<>"$name.commands"
    ua_fd[$name]=$fd
    event "$name" '.event == "registered"'
}
tell() { # name, command...
    local fd=${ua_fd[$1]}; shift
    echo "$*" >&"$fd"
}
find_event() { # name, filter, n: sets $event
    event=$(jq -c "select($2)" "$1.events" 2>/dev/null | sed -n "$3p")
    [ -n "$event" ]
}
event() { # name, filter, [n]
    local end=$((SECONDS + 10))
    while [ $SECONDS -lt $end ]; do
        ! find_event "$1" "$2" "${3:-1}" || return 0
        sleep 0.05
    done
    cat "$1.events" "logs/$1.log" >&2
    broken "$1 had no event (${3:-1}) with $2"
}
no_event() { ! find_event "$1" "$2" 1 || broken "$1 had the event $event"; }
keys_of() { # name, [n]: sets $keys
    event "$1" '.event == "keys"' "${2:-1}"
    keys=$(jq -r .file <<<"$event")
}
offer_to() { # name: the path of the latest offer that came to it
    local offers=(messages/*-"$1"-offer.sdp)
    echo "${offers[-1]}"
}
# The worst that a party can do that has the offer and its account, but not the call: it resolves
# the ticket, answers, and so comes to keys, as if it had been the one to answer.
steal_keys() { # name, offer, file for the keys, [options of tbs]
    local name=$1 offer=$2 keys=$3; shift 3
    "$tbs" resolve --account "$name.json" --offer "$offer" --out "$keys.resolved" "$@" >/dev/null &&
        "$tbs" answer --account "$name.json" --offer "$offer" --resolved "$keys.resolved" \
            --out "$keys.answer" --keys "$keys" "$@" >/dev/null
}
