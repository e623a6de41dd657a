# Nodes of the network that have no part in libtbs: their SIP is sipp, over TCP. Sourced by the
# scenarios that need them, after lib.sh.
#   sipp_serve NAME XML [OPTION...]      answers calls as XML says, at NAME's address, in the background
#   sipp_call NAME SDP USER              calls USER by way of the proxy, as `call-NAME-USER`, until
#                                        USER refuses or hangs up; key-mgmt of the answer is in
#                                        call-NAME-USER.answer
#   sipp_register NAME                   its user is at NAME's address from now on
#   sipp_phone NAME                      registers and rings when called; key-mgmt of the offer is in
#                                        NAME.log
#   sipp_answer NAME SDP                 it answers with that; sipp_hang_up NAME CALLER ends the call
#   offer_came NAME N                    waits for the N-th offer to it; prints its key-mgmt
#   with_key_mgmt LINE                   the SDP on standard input with this line before its m line
#   keep NAME PORT FILE                  keeps datagrams that come to NAME, as `keep-NAME`
#   replay FILE NAME TO                  sends them from NAME to ADDRESS:PORT, as `replay-NAME`
#   copies FROM TO...                    GStreamer passes datagrams at FROM on to each TO, as `copies`
#   member_hears NAME KEYS CS WAV        tbs-media receives at NAME as `hear-NAME`; saves WAV.pcap
#   member_speaks NAME KEYS CS TO [WAV]  and sends $word, or WAV, as `speak-NAME`
#   earlier SECONDS CMD...               runs CMD so long ago by its clock
#   kms_again [SECONDS]                  ends the KMS and starts it with the same token and store

sipp_serve() {
    local name=$1 xml=$2; shift 2
    party "$name"
    background "$name" sipp -sf "$xml" -i "${at[$name]}" -p 5060 -t t1 -nostdin -trace_err \
        -error_file "$PWD/logs/$name.errors" -trace_logs -log_file "$PWD/$name.log" "$@"
    await "$name listens" nc_open "${at[$name]}" 5060
}
sipp_port=5070
sipp_call() {
    local name=$1 sdp=$2 user=$3 xml=call-$1-$3.xml
    party "$name"
    cp "$sdp" "body$((++sipp_port))" # sipp takes a minus in a name as arithmetic
    sed "s#name=SDP#name=body$sipp_port#" "$scenarios/lib/invite.xml" >"$xml"
    background "call-$name-$user" sipp -sf "$xml" -i "${at[$name]}" -p $sipp_port -t t1 -m 1 \
        -nostdin -timeout 40 -timeout_error -trace_err -error_file "$PWD/logs/call-$name-$user.errors" \
        -trace_logs -log_file "$PWD/call-$name-$user.answer" -key to "$(uri "$user")" \
        -key from "$(uri "$name")" -key name "$name" \
        "${at[proxy]}:5060"
}

keep() {
    background "keep-$1" /usr/bin/python3 "$scenarios/lib/datagrams.py" keep "${at[$1]}:$2" "$3"
    await "$1 listens" listens "${at[$1]}:$2"
}
replay() {
    background "replay-$2" /usr/bin/python3 "$scenarios/lib/datagrams.py" send "$1" \
        "${at[$2]}:40000" "$3"
}

sipp_register() {
    party "$1"
    background "register-$1" sipp -sf "$scenarios/lib/register.xml" -i "${at[$1]}" \
        -p $((++sipp_port)) -t t1 -m 1 -nostdin -timeout 10 -timeout_error -key domain "$domain" \
        -key from "$(uri "$1")" -key name "$1" "${at[proxy]}:5060"
    finished "register-$1"
}

# sipp reads these files again and again until there is something in them.
sipp_phone() {
    party "$1"
    : >"${1}answer"
    : >"${1}bye"
    sed "s/=ANSWER/=${1}answer/; s/=GOODBYE/=${1}bye/" "$scenarios/lib/answering.xml" >"answering-$1.xml"
    sipp_serve "$1" "answering-$1.xml" -key me "$(uri "$1")" -key name "$1"
    sipp_register "$1"
}
sipp_answer() {
    cp "$2" "${1}answer.new"
    mv "${1}answer.new" "${1}answer"
}
sipp_hang_up() {
    echo bye >"${1}bye"
    finished "call-$2-$1"
    : >"${1}answer"
    : >"${1}bye"
}
offer_came() {
    await "offer $2 to $1" has_lines "$1.log" "$2"
    sed -n "$2p" "$1.log"
}
has_lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
with_key_mgmt() { sed "/^m=/i $1\r"; }

# A word of what $hello says, for scenarios that speak often.
word=$PWD/word.wav
/usr/bin/python3 - "$hello" "$word" <<'PY'
import sys, wave
with wave.open(sys.argv[1]) as hello, wave.open(sys.argv[2], "wb") as word:
    word.setparams(hello.getparams())
    hello.setpos(hello.getframerate() // 2)
    word.writeframes(hello.readframes(hello.getframerate() * 3 // 4 // 320 * 320))
PY

copies() {
    local from=$1; shift
    background copies gst-launch-1.0 -q udpsrc "address=${from%:*}" "port=${from##*:}" ! \
        multiudpsink "clients=$(IFS=,; echo "$*")"
    await "GStreamer listens" listens "$from"
}
member_hears() {
    background "hear-$1" "$media" receive --keys "$2" --cs "$3" --listen "${at[$1]}:40000" \
        --out "$4" --save "$4.pcap"
    await_text 'listening on' "logs/hear-$1.log"
}
member_speaks() {
    background "speak-$1" "$media" send --keys "$2" --cs "$3" --to "$4" "${5:-$word}"
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
