# Nodes of the network that have no part in libtbs: their SIP is sipp, over TCP. Sourced by the
# scenarios that need them, after lib.sh.
#   sipp_serve NAME XML [OPTION...]      answers calls as XML says, at NAME's address, in the background
#   sipp_call NAME XML USER [OPTION...]  one call to USER by way of the proxy, in the background
#   keep NAME PORT FILE                  keeps datagrams that come to NAME, as `keep-NAME`
#   replay FILE NAME TO                  sends them from NAME to ADDRESS:PORT, as `replay-NAME`
#   earlier SECONDS CMD...               runs CMD so long ago by its clock
#   kms_again [SECONDS]                  ends the KMS and starts it with the same token and store

sipp_serve() {
    local name=$1 xml=$2; shift 2
    party "$name"
    background "$name" sipp -sf "$xml" -i "${at[$name]}" -p 5060 -t t1 -nostdin -trace_err \
        -error_file "$PWD/logs/$name.errors" -trace_logs -log_file "$PWD/$name.log" "$@"
    await "$name listens" nc_open "${at[$name]}" 5060
}
sipp_call() {
    local name=$1 xml=$2 user=$3; shift 3
    party "$name"
    background "call-$name" sipp -sf "$xml" -i "${at[$name]}" -p 5062 -t t1 -m 1 -nostdin \
        -timeout 20 -timeout_error -trace_err -error_file "$PWD/logs/call-$name.errors" \
        -s "$user" -key domain "$domain" "$@" "${at[proxy]}:5060"
}

datagrams() { /usr/bin/python3 "$scenarios/lib/datagrams.py" "$@"; }
keep() {
    background "keep-$1" /usr/bin/python3 "$scenarios/lib/datagrams.py" keep "${at[$1]}:$2" "$3"
    await "$1 listens" listens "${at[$1]}:$2"
}
replay() {
    background "replay-$2" /usr/bin/python3 "$scenarios/lib/datagrams.py" send "$1" \
        "${at[$2]}:40000" "$3"
}

libfaketime=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1
earlier() {
    local seconds=$1; shift
    LD_PRELOAD=$libfaketime FAKETIME=-$seconds "$@"
}
kms_again() {
    kms_stop
    rm -f kms/addresses
    background kms "$kmsd" --config kms/tbs-kmsd.yaml
    await "tbs-kmsd" test -s kms/addresses
}
