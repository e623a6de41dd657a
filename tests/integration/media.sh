#!/usr/bin/env bash
# tbs-media sends and receives sound on loopback; what it sent is opened by an independent
# implementation, and what was changed, is old or has other keys is told apart.
set -euo pipefail
media=$(realpath "$1") wav=$(realpath "$2") here=$(realpath "$(dirname "$0")")
dir=$(mktemp -d /tmp/tbs-test.XXXXXX)
receiver=
trap '[ -z "$receiver" ] || kill "$receiver" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"

input() { /usr/bin/python3 "$here/media_input.py" "$@"; }
check() { /usr/bin/python3 "$here/../peer/srtp_check.py" "$@"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

expect() { # exit status, command...
    local want=$1 got=0; shift
    "$@" || got=$?
    [ "$got" = "$want" ] || fail "exit status $got, not $want: $*"
}

await() { # text, file: until the text is in the file
    for _ in $(seq 100); do
        grep -qs "$1" "$2" && return
        sleep 0.1
    done
    fail "'$1' did not appear: $(cat "$2")"
}

start_receiver() { # address, further options: gives $receiver, $to and $port
    local address=$1; shift
    : >receiver.log
    "$media" receive --cs 1 --listen "$address:0" --json "$@" >summary 2>receiver.log &
    receiver=$!
    await 'listening on' receiver.log
    to=$(sed -n 's/^listening on //p' receiver.log) port=${to##*:}
}

end_receiver() { # exit status
    local got=0
    wait "$receiver" || got=$?
    receiver=
    [ "$got" = "$1" ] || fail "the receiver's exit status is $got, not $1: $(cat receiver.log)"
}

counted() { # names and values that are in the summary, such as lost:0
    for pair in "$@"; do
        grep -qE "\"${pair%:*}\":${pair#*:}[,}]" summary || fail "not $pair but $(cat summary)"
    done
}

call() { # profile, address: one call with keys of its own, in a folder of its own
    local profile=$1 address=$2 got=0
    echo "$profile over $address"
    mkdir "$profile"
    cd "$profile"
    input keys alice.keys "$profile"
    cp -p alice.keys bob.keys
    start_receiver "$address" --keys bob.keys --out heard.wav --save call.pcap
    "$media" send --keys alice.keys --cs 1 --to "$to" --from "$address:0" "$wav" \
        --json >sent
    end_receiver 0
    counted packets:128 lost:0 authentication_failures:0 bye:true
    [ "$(cat sent)" = '{"packets":128,"octets":81558}' ] || fail "sent: $(cat sent)"
    cmp heard.wav "$wav"
    [ "$(stat -c %a heard.wav)" = 600 ] || fail "others may read the sound"
    check compare call.pcap alice.keys 1 "$wav"

    "$media" open --keys bob.keys --cs 1 call.pcap --out opened.wav
    cmp opened.wav "$wav"

    "$media" send --keys alice.keys --cs 1 --to "$to" "$wav" 2>log || got=$?
    [ "$got" = 1 ] && grep -q 'has sent before' log || fail "the same key stream twice"

    input keys mallory.keys "$profile"
    for same in '"ssrc": "[^"]*"' '"mki": "[^"]*"'; do # only the key differs
        sed -i "s/$same/$(grep -o "$same" bob.keys)/" mallory.keys
    done
    expect 4 "$media" open --keys mallory.keys --cs 1 call.pcap --out stolen.wav 2>log
    grep -q 'none could be authenticated' log
    [ ! -e stolen.wav ] || fail "sound without its keys"
    cd ..
}

attack() { # a profile whose call was captured
    echo "changed, lost, replayed, late and foreign packets"
    cd "$1"
    input change call.pcap attacked.pcap
    input hear "$wav" expected.wav
    local -a expected=(packets:124 lost:4 authentication_failures:3 replayed:1 late:1 other:2
                       bye:true)
    "$media" open --keys bob.keys --cs 1 attacked.pcap --out attacked.wav --json >summary
    counted "${expected[@]}"
    cmp attacked.wav expected.wav
    start_receiver 127.0.0.1 --keys bob.keys --out live.wav
    input replay attacked.pcap 127.0.0.1 "$port"
    end_receiver 0
    counted "${expected[@]}"
    cmp live.wav expected.wav

    start_receiver 127.0.0.1 --keys mallory.keys --out stolen.wav
    input replay attacked.pcap 127.0.0.1 "$port"
    kill -TERM "$receiver"
    end_receiver 4
    counted packets:0 bye:false
    cd ..
}

refusals() { # a profile whose keys there are
    echo "what cannot be"
    cd "$1"
    start_receiver 127.0.0.1 --keys bob.keys --out nothing.wav --idle 1
    end_receiver 1
    start_receiver 127.0.0.1 --keys bob.keys --out nothing.wav
    kill -TERM "$receiver"
    end_receiver 1
    [ -z "$(find . -name '*.wav.*' -o -name nothing.wav -o -name stolen.wav)" ] || fail "$(ls)"
    expect 1 "$media" open --keys bob.keys --cs 2 call.pcap --out nothing.wav 2>log
    grep -q 'no crypto session 2' log
    expect 4 "$media" open --keys ../AES_CM_128_HMAC_SHA1_80/bob.keys --cs 1 call.pcap \
        --out nothing.wav --json >summary 2>log
    counted other:129 authentication_failures:0
    [ ! -e nothing.wav ] || fail "sound of another session"
    expect 1 "$media" open --keys bob.keys --cs 1 "$wav" --out nothing.wav 2>log
    grep -q 'cannot read the capture' log
    expect 1 "$media" send --keys bob.keys --cs 1 --to 127.0.0.1:9 call.pcap 2>log
    grep -q 'as sound' log
    chmod g+r bob.keys
    expect 1 "$media" open --keys bob.keys --cs 1 call.pcap --out nothing.wav 2>log
    grep -q 'others may use it' log
    for line in receive 'receive --keys bob.keys --cs 1 --out x.wav' 'send --keys bob.keys --cs 0' \
        'open --keys bob.keys --cs 1 call.pcap' 'play' \
        'receive --keys bob.keys --cs 1 --out x.wav --listen localhost:5004'; do
        expect 2 "$media" $line 2>log
    done
    cd ..
}

gstreamer() { # a profile whose call was captured: gets it played again
    local element cipher ssrc key mki crypto
    for element in udpsrc srtpdec rtpL16depay audioconvert wavenc; do
        gst-inspect-1.0 --exists "$element" 2>/dev/null || {
            echo "GStreamer has no $element here: not opened with it"
            return
        }
    done
    echo "opened by GStreamer"
    cd "$1"
    case $1 in *256*) cipher=aes-256-icm ;; *) cipher=aes-128-icm ;; esac
    read -r ssrc key mki < <(input caps alice.keys)
    crypto="srtp-cipher=$cipher,srtp-auth=hmac-sha1-80,srtcp-cipher=$cipher,srtcp-auth=hmac-sha1-80"
    port=$(input port)
    gst-launch-1.0 udpsrc address=127.0.0.1 "port=$port" num-buffers=128 caps="application/x-srtp,\
media=audio,payload=96,clock-rate=16000,encoding-name=L16,channels=1,ssrc=(uint)$ssrc,\
srtp-key=(buffer)$key,mki=(buffer)$mki,$crypto" ! srtpdec ! rtpL16depay ! audioconvert ! wavenc ! \
        filesink location=gst.wav >gst.log 2>&1 &
    receiver=$!
    await 'to PLAYING' gst.log
    input replay call.pcap 127.0.0.1 "$port"
    end_receiver 0
    cmp gst.wav "$wav"
    cd ..
}

call AES_CM_128_HMAC_SHA1_80 127.0.0.1
if grep -qs '^0*1 ' /proc/net/if_inet6; then
    call AES_256_CM_HMAC_SHA1_80 '[::1]'
else
    echo "there is no IPv6 here"
    call AES_256_CM_HMAC_SHA1_80 127.0.0.1
fi
attack AES_256_CM_HMAC_SHA1_80
gstreamer AES_256_CM_HMAC_SHA1_80
gstreamer AES_CM_128_HMAC_SHA1_80
refusals AES_256_CM_HMAC_SHA1_80
