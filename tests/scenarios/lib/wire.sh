# What crossed the network of a scenario. See lib.sh.

capture_start() {
    background capture dumpcap -q -i lo -f "net $net.0/24" -w wire.pcapng
    await_text 'File:' logs/capture.log
}
capture_stop() {
    sleep 0.3 # what was sent last
    stop capture INT
    on_wire 1+ mikey_ticket
    on_wire 0 'mikey_ticket.undissected || mikey_ticket.malformed || mikey_ticket.cut'
}
shark() {
    tshark -X "lua_script:$source/tools/wireshark/mikey-ticket.lua" -r wire.pcapng "$@" \
        2>logs/tshark.log
}
wire() { # display filter, fields...
    local filter=$1 field fields=(); shift
    for field in "$@"; do
        fields+=(-e "$field")
    done
    shark -Y "$filter" -T fields "${fields[@]}"
}
on_wire() { # how many, display filter
    local n
    n=$(wire "$2" frame.number | wc -l)
    counts "$n" "$1" || broken "$n frames, not $1, have crossed the wire with $2"
}
not_on_wire() { # files of keys
    /usr/bin/python3 "$scenarios/lib/keys.py" absent wire.pcapng "$@" || broken "a key crossed the wire"
}
