# Sourced after daemon.sh by the outage matrices: a steady load on a daemon, rows, and what a daemon
# must be like when they are over. Expects $load, the program of load.c, $rate and $settle.
failed=no callers=12
recovery_ms=2000 # what the custody core promises

# --- The load ---

load_start() {
    coproc LOAD { "$load" "$(sed -n 1p "$kms/addresses")" "$dir" "$rate" $callers $recovery_ms; }
    load_pid=$LOAD_PID
    exec 8>&"${LOAD[1]}"- 9<&"${LOAD[0]}"-
}

tell() { # a line for the load; its answer goes to $said
    echo "$*" >&8
    read -r said <&9 || wrong "the load ended at '$*'"
}

load_stop() {
    exec 8>&- 9<&-
    wait "$load_pid" || failed=yes
}

# --- Rows ---

begin() { # the row's name; the token is well
    tell row "$1"
    sleep 0.3
}

over() {
    tell over
    sleep "$settle"
    tell end
    echo "$said"
}

# --- The daemon ---

await_ready() { # status
    local got
    for _ in $(seq 100); do
        got=$(curl -s -o "$dir/ready" -w '%{http_code}' "$management/readyz")
        [ "$got" != "$1" ] || return 0
        sleep 0.1
    done
    wrong "readyz: $got instead of $1: $(cat "$dir/ready")"
}

stops() { # with this exit status, before the service manager would lose its patience
    local status=0 until=$((SECONDS + 8))
    kill -TERM "$kmsd_pid"
    while kill -0 "$kmsd_pid" 2>/dev/null; do
        [ $SECONDS -le $until ] || wrong "tbs-kmsd does not stop"
        sleep 0.1
    done
    wait "$kmsd_pid" || status=$?
    kmsd_pid=
    [ "$status" = "$1" ] || wrong "exit status $status instead of $1: $(tail -20 "$dir/kmsd.log")"
    ! grep -E "Sanitizer|runtime error" "$dir/kmsd.log" >&2 || exit 1
}

# The token's module and the callers open and close descriptors all the time: what grows shows in
# the lowest count of a second.
measure() { # descriptors, memory in KiB
    descriptors=$(for _ in $(seq 10); do
        ls "/proc/$kmsd_pid/fd" | wc -l
        sleep 0.1
    done | sort -n)
    most=$(tail -n 1 <<<"$descriptors") descriptors=$(head -n 1 <<<"$descriptors")
    memory=$(awk '/^VmRSS/ { print $2 }' "/proc/$kmsd_pid/status")
    echo "$descriptors descriptors, $memory KiB"
}

no_more_descriptors() { # than $at_first
    [ "$descriptors" -le "$at_first" ] || wrong "there were $at_first descriptors at first"
}

all_as_they_must() {
    [ "$failed" = no ] || wrong "the matrix has rows that are not as they must be"
}
