# Sound between parties, with tbs-media and with SRTP implementations of others. See lib.sh.
# Keys that others take on their command line are those of one run on loopback.

keys_py() { /usr/bin/python3 "$scenarios/lib/keys.py" "$@"; }

speak() { # keys, cs, address:port, [wav]
    background "speak-$2" "$media" send --keys "$1" --cs "$2" --to "$3" "${4:-$hello}"
}
hear() { # keys, cs, address:port, wav, [seconds]
    background "hear-$2" "$media" receive --keys "$1" --cs "$2" --listen "$3" --out "$4" \
        --save "$4.pcap" --idle "${5:-10}"
    await_text 'listening on' "logs/hear-$2.log"
}
heard_nothing() { # cs
    local status=0
    wait "${pid[hear-$1]}" || status=$?
    unset "pid[hear-$1]"
    [ $status = 1 ] && grep -q '^0 packets' "logs/hear-$1.log" ||
        broken "something came: $(cat "logs/hear-$1.log")"
}

gst_hear() { # keys, cs, address:port, raw file
    background "gst-$2" gst-launch-1.0 -q udpsrc "address=${3%:*}" "port=${3##*:}" \
        timeout=3000000000 caps="$(keys_py gst "$1" "$2")" ! srtpdec ! rtpL16depay ! \
        audioconvert ! audio/x-raw,format=S16LE ! filesink buffer-mode=2 "location=$4"
    await "GStreamer listens" listens "$3"
}
listens() { [ -n "$(ss -Huan "src = $1")" ]; }

# ffmpeg knows no MKI, so mki.py, which has no key, takes it off each packet on the way.
ffmpeg_hear() { # keys, cs, address:port, raw file
    local inner=${3%:*}:$((${3##*:} + 100))
    keys_py sdp "$1" "$2" "$inner" >"ffmpeg-$2.sdp"
    background "ffmpeg-$2" ffmpeg -nostdin -loglevel warning -y -localaddr "${3%:*}" \
        -protocol_whitelist file,udp,rtp,srtp,crypto -i "ffmpeg-$2.sdp" -f s16le "$4"
    background "mki-$2" /usr/bin/python3 "$scenarios/lib/mki.py" "$3" "$inner" \
        "$(keys_py mki-length "$1" "$2")"
    await "ffmpeg listens" listens "$inner"
    await "mki.py listens" listens "$3"
}

# A gateway's media: GStreamer ends SRTP towards plain RTP, and the other way round.
gst_decrypt() { # keys, cs, from address:port, to address:port
    background "decrypt-$2" gst-launch-1.0 -q udpsrc "address=${3%:*}" "port=${3##*:}" \
        caps="$(keys_py gst "$1" "$2")" ! srtpdec ! \
        udpsink "host=${4%:*}" "port=${4##*:}" sync=false
    await "GStreamer listens" listens "$3"
}
gst_encrypt() { # keys, cs, from address:port, to address:port
    local cipher
    case $(keys_py profile "$1" "$2") in *256*) cipher=aes-256-icm ;; *) cipher=aes-128-icm ;; esac
    background "encrypt-$2" gst-launch-1.0 -q udpsrc "address=${3%:*}" "port=${3##*:}" \
        caps="$rtp_caps" ! srtpenc "key=$(keys_py hex "$1" "$2")" "mki=$(keys_py mki "$1" "$2")" \
        "rtp-cipher=$cipher" "rtcp-cipher=$cipher" ! \
        udpsink "host=${4%:*}" "port=${4##*:}" sync=false
    await "GStreamer listens" listens "$3"
}
rtp_caps='application/x-rtp,media=(string)audio,clock-rate=(int)16000,encoding-name=(string)L16,channels=(int)1,payload=(int)96'
rtp_hear() { # address:port, raw file
    background rtp-hear gst-launch-1.0 -q udpsrc "address=${1%:*}" "port=${1##*:}" \
        caps="$rtp_caps" ! rtpL16depay ! audioconvert ! audio/x-raw,format=S16LE ! \
        filesink buffer-mode=2 "location=$2"
    await "GStreamer listens" listens "$1"
}
rtp_speak() { # address:port, ssrc
    background rtp-speak ffmpeg -nostdin -loglevel warning -re -i "$hello" -c:a pcm_s16be \
        -payload_type 96 -ssrc "$(printf %d "$2" | python3 -c \
        'n = int(input()); print(n - (n >> 31 << 32))')" -f rtp "rtp://$1?pkt_size=652"
}
rtp_sound() { # capture, port, raw file: what plain RTP with L16 in a capture sounds like
    tshark -r "$1" -d "udp.port==$2,rtp" -Y "udp.dstport == $2 && rtp.p_type == 96" -T fields \
        -e rtp.payload 2>logs/tshark.log | tr -d ':\n' | tr a-f A-F | basenc --base16 -d |
        dd conv=swab status=none of="$3"
}
plain_in() { keys_py sample "$hello"; } # a display filter for packets with what is said, in clear

samples() { # file; WAV headers of tbs-media have 44 octets
    case $1 in *.wav) tail -c +45 "$1" ;; *) cat "$1" ;; esac
}
same_sound() {
    local a b
    a=$(samples "$1" | sha256sum) b=$(samples "$2" | sha256sum)
    [ "$a" = "$b" ] ||
        broken "$1 ($(samples "$1" | wc -c) octets) and $2 ($(samples "$2" | wc -c)) sound different"
    [ "$(samples "$1" | tr -d '\0' | wc -c)" -gt 1000 ] || broken "$1 is silence"
}
cannot_open() { # keys, cs, pcap, who
    local status=0
    "$media" open --keys "$1" --cs "$2" --out stolen.wav "$3" >logs/stolen.log 2>&1 || status=$?
    [ "$status" = 4 ] && [ ! -e stolen.wav ] || broken "$4 opened $3 (status $status)"
}
python_opens() { # keys, cs, pcap, wav
    /usr/bin/python3 "$source/tests/peer/srtp_check.py" compare "$3" "$1" "$2" "$4" >/dev/null ||
        broken "srtp_check.py does not hear $4 in $3"
}
same_keys() { keys_py same "$1" "$2" || broken "$1 and $2 should have the same keys"; }
other_keys() { ! keys_py same "$1" "$2" || broken "$1 and $2 have the same keys"; }
