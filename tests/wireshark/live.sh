#!/usr/bin/env bash
# What crosses loopback between user agents and tbs-kmsd, captured and dissected.
set -euo pipefail
admin=$1 kmsd=$2 tbs=$3 script=$4
here=$(dirname "$0")
for program in dumpcap tshark; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
dumpcap -q -i lo -a duration:1 -w /dev/null 2>/dev/null || { echo "no right to capture"; exit 77; }
. "$here/../integration/daemon.sh"

account() { # name
    cat >"$dir/$1.json" <<JSON
{"url": "$mikey_url", "kms": "sip:kms@example.net", "identity": "sip:$1@example.net",
 "psk_id": "$1-1", "psk_file": "$1.psk"}
JSON
}

daemon_init
subscriber alice
subscriber bob
daemon_start
account alice
account bob

port=${mikey_url#*127.0.0.1:}
dumpcap -q -i lo -f "tcp port ${port%/mikey}" -w "$dir/live.pcap" 2>"$dir/dumpcap.log" &
dumpcap_pid=$!
trap '[ -z "$dumpcap_pid" ] || kill $dumpcap_pid || true; daemon_stop; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
    [ ! -s "$dir/live.pcap" ] || break
    sleep 0.05
done

"$tbs" request --account "$dir/alice.json" --to sip:bob@example.net --out "$dir/ticket" \
    --sent "$dir/1.mikey" --received "$dir/2.mikey" >/dev/null
"$tbs" offer --ticket "$dir/ticket" --to sip:bob@example.net --out "$dir/offer.mikey"
"$tbs" resolve --account "$dir/bob.json" --offer "$dir/offer.mikey" --out "$dir/resolved" \
    --sent "$dir/3.mikey" --received "$dir/4.mikey" >/dev/null

for _ in $(seq 50); do # until the capture has all four
    [ "$(tshark -r "$dir/live.pcap" -Y http 2>/dev/null | wc -l)" -lt 4 ] || break
    sleep 0.1
done
kill -INT $dumpcap_pid
wait $dumpcap_pid || wrong "dumpcap: $(cat "$dir/dumpcap.log")"
dumpcap_pid=
/usr/bin/python3 "$here/live.py" "$script" "$dir/live.pcap" "$dir"/[1-4].mikey
