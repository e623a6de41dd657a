# Sourced first by every NN-name/run, which has set three variables before:
#   requirement   1 to 7, the requirement of a ticket based system that it shows (README.md)
#   peers         software of others that takes part        decoder   what opens the media
# It makes a folder for the run, goes there, and stops at the end what was started, by its process
# id. Each run has a network of its own, 127.a.b.0/24, so that runs do not meet.
#
# Here:
#   say TEXT              what comes next              ok TEXT      what has been shown
#   note TEXT             a remark                     broken TEXT  says what is wrong, ends the run
#   party NAME...         gives each an address: ${at[NAME]}; users, devices and peers have one
#   background NAME CMD.. runs in the background; its output is in logs/NAME.log
#   stop NAME             ends that                    finished NAME  waits for its end: exit status 0
#   await WHAT CMD...     until the command succeeds, at most 10 s
#   await_text TEXT FILE  until the text is in the file, at most 10 s
#   refused STATUS TEXT CMD...  the command must fail with this status and say this text
#   differ|same WHAT A B  of two texts
#   message FROM TO WHAT [sdp]  a new path in messages/ for `ladder`; WHAT has no blank
#   ladder [NAME...]      draws messages/, or what these parties (at most 6) said to each other, with
#                         tbs ladder: ladder.txt, which is shown, and ladder.svg
# lib/kms.sh: the KMS
#   kms_start [POLICY]    policy: a file, or one of policies/ such as carrier (default: the default)
#   kms_stop, adm ARG...  tbs-admin with that KMS
#   user NAME [URI]       a subscriber (sip:NAME@$domain) with its first device, account NAME.json
#   device NAME OF        a further device of a subscriber
#   network_function NAME ROLE [URI]   a subscriber with a role
#   group NAME MEMBER...  a group, sip:NAME@$domain
#   uri NAME              prints the identity of a user, device or group
#   audited N FILTER      N lines of the audit trail fulfil the jq filter; N+: at least
#   audit_whole           the trail's chain and signatures verify
#   requests_at_kms       prints how many messages the KMS has answered
# lib/sip.sh: SIP
#   proxy_start [FILE]    kamailio; FILE has the routes of the scenario (default: lib/routes.cfg)
#   proxy_mode MODE       what the routes find in $shv(mode)
#   rtpengine_start [OPTION...]  rtpengine at ${at[relay]}, before proxy_start
#   legacy NAME FILE      sipp with this scenario for one call, for a party that knows no MIKEY
#   ua NAME [OPTION...]   starts the user agent of a user or device, and registers it
#   tell NAME COMMAND...  what it shall do (tbs-ua --help)
#   event NAME FILTER [N] waits for its N-th event that fulfils the jq filter; it is in $event
#   no_event NAME FILTER  there is none
#   keys_of NAME [N]      waits for the keys of its N-th session; their file is in $keys
#   offer_to NAME         prints the path of the latest offer that came to it
#   steal_keys NAME OFFER KEYS [OPTION...]  what NAME can make of an offer that another answers
# lib/media.sh: sound, keys, SRTP of others
#   speak KEYS CS TO [WAV]         tbs-media sends $hello, or WAV, in the background; TO is ADDR:PORT
#   hear KEYS CS LISTEN WAV [SECONDS]  tbs-media receives in the background as `hear-CS`, and waits
#                                  so long (10); saves WAV.pcap
#   heard_nothing CS               waits for its end: no packet came
#   gst_hear KEYS CS LISTEN RAW    GStreamer receives in the background as `gst-CS`
#   ffmpeg_hear KEYS CS LISTEN RAW [RTPMAP]  ffmpeg does, as `ffmpeg-CS` (128-bit keys; lib/mki.py in
#                                  front); RTPMAP such as "8 PCMA/8000", by default L16
#   gst_speak_pcmu KEYS CS TO RAW  GStreamer sends $hello as PCMU, which is in RAW, as `speak-CS`
#   same_sound A B                 WAV or raw files (16 bit) have the same samples, not only silence
#   cannot_open KEYS CS PCAP WHO   authentic packets there are none with these keys
#   python_opens KEYS CS PCAP WAV  tests/peer/srtp_check.py: the whole sound, without our code
#   same_keys|other_keys A B       of two files of keys
#   gst_decrypt|gst_encrypt KEYS CS FROM TO  GStreamer as a gateway, from SRTP to RTP and back
#   rtp_hear LISTEN RAW, rtp_speak TO SSRC   plain RTP behind it, in the background; with ffmpeg
#   rtp_sound CAPTURE PORT RAW     plain RTP of a capture
#   plain_in                       prints a display filter: packets with $hello in clear
#   keys_py ...                    lib/keys.py
# lib/wire.sh: what crossed the network
#   capture_start, capture_stop    all of the network, in wire.pcapng
#                                  of whose MIKEY messages the dissector knows every octet
#   wire FILTER FIELD...           prints fields of the frames that tshark's display filter takes
#   on_wire N FILTER               N frames; N+: at least
#   not_on_wire KEYS...            the keys are nowhere in the capture, neither in octets, hex nor base64
set -euo pipefail

if [ "${1:-}" = --facts ]; then
    printf '%s\n' "$requirement" "$peers" "$decoder"
    exit 0
fi
if [[ ${1:-} == -* ]] || [ $# -gt 1 ]; then
    echo "usage: $0 [FOLDER]    (as root or with sudo; see README.md beside it)"
    [[ ${1:-} == -h || ${1:-} == --help ]] && exit 0 || exit 2
fi
# Nothing waits for ever; timeout ends the whole process group.
[ -n "${scenario_limited:-}" ] || scenario_limited=1 exec timeout -k 5 180 "$0" "$@"

scenario=$(basename "$(dirname "$(realpath "$0")")")
here=$(dirname "$(realpath "$0")")
scenarios=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source=$(realpath "$scenarios/../..")
folder=$(realpath -m "${1:-$source/scenarios-run/$scenario}")
. "$source/tools/lib.sh"
. "$scenarios/lib/prepare.sh"
[ -n "${scenarios_prepared:-}" ] || prepare

build=$source/build-scenarios
tbs=$build/tools/tbs/tbs media=$build/tools/tbs-media/tbs-media
admin=$build/tools/tbs-admin/tbs-admin kmsd=$build/tools/tbs-kmsd
hello=$source/tools/demo.d/hello.wav
domain=${domain:-example.net}
umask 077
ulimit -c 0 # a core has keys
own_folder "$folder"
cd "$folder"
mkdir logs messages

declare -A at pid
net=127.$((RANDOM % 200 + 20)).$((RANDOM % 256))
last_address=10
party() {
    local name
    for name in "$@"; do
        [ -n "${at[$name]:-}" ] || at[$name]=$net.$((++last_address))
    done
}
at=([kms]=$net.2 [proxy]=$net.3 [relay]=$net.4)

say() { step "$@"; }

background() { # name, command...
    local name=$1; shift
    : >"logs/$name.log" # now, so that nobody waits for what an earlier one of that name said
    "$@" >>"logs/$name.log" 2>&1 &
    pid[$name]=$!
}
stop() {
    local name=$1 signal=${2:-TERM}
    [ -n "${pid[$name]:-}" ] || return 0
    kill "-$signal" "${pid[$name]}" 2>/dev/null || true
    wait "${pid[$name]}" 2>/dev/null || true
    unset "pid[$name]"
}
finished() {
    local status=0
    wait "${pid[$1]}" || status=$?
    unset "pid[$1]"
    [ "$status" = 0 ] || { cat "logs/$1.log" >&2; broken "$1 ended with status $status"; }
}
at_end() {
    local status=$? name
    trap - EXIT
    for name in "${!pid[@]}"; do
        kill "${pid[$name]}" 2>/dev/null || true
    done
    for name in "${!pid[@]}"; do # who does not go within two seconds is killed
        for _ in $(seq 40); do
            kill -0 "${pid[$name]}" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL "${pid[$name]}" 2>/dev/null || true
    done
    wait
    [ "$status" = 0 ] || echo "  what happened is in $folder" >&2
    exit "$status"
}
trap at_end EXIT

await() { # what, command...
    local what=$1 end=$((SECONDS + 10)); shift
    while [ $SECONDS -lt $end ]; do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    broken "waited in vain: $what"
}
await_text() { await "'$1' in $2" grep -qs -- "$1" "$2"; }

refused() { # exit status, text, command...
    local want=$1 text=$2 got=0; shift 2
    "$@" >refused.out 2>refused.err || got=$?
    [ "$got" = "$want" ] || { cat refused.err >&2; broken "exit status $got, not $want: $*"; }
    grep -q -- "$text" refused.err || { cat refused.err >&2; broken "it does not say '$text': $*"; }
}
differ() { [ "$2" != "$3" ] || broken "$1 should differ: both are '$2'"; }
same() { [ "$2" = "$3" ] || broken "$1 should be the same, not '$2' and '$3'"; }

message() { echo "messages/$(date +%s%6N)-$1-$2-$3.${4:-mikey}"; }

ladder() { # [names]
    local file name from to _ n=0
    rm -rf ladder.d
    mkdir ladder.d
    for file in messages/*; do
        name=${file##*/}
        IFS=- read -r _ from to _ <<<"${name%.*}"
        [ $# = 0 ] || [[ " $* " == *" $from "* && " $* " == *" $to "* ]] || continue
        n=$((n + 1))
        cp "$file" "ladder.d/$(printf %03d $n)-${name#*-}"
    done
    "$tbs" ladder ladder.d --svg ladder.svg >ladder.txt
    step "What was said"
    cat ladder.txt
}

for part in kms sip media wire; do
    . "$scenarios/lib/$part.sh"
done
