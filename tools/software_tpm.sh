# Sourced by tools/demo and by tests: a software TPM, behind a resource manager on a bus of its
# own, since it takes one connection only. The way to it is tabrmd:bus_type=session for programs
# with $software_tpm_bus as DBUS_SESSION_BUS_ADDRESS.
software_tpm_packages=(swtpm tpm2-abrmd libtss2-tcti-tabrmd0 dbus-daemon tpm2-tools)
software_tpm_bus=''
declare -A software_tpm_pid=()

software_tpm_file() { # file or socket that is to come
    for _ in $(seq 100); do
        [ -s "$1" ] || [ -S "$1" ] && return
        sleep 0.05
    done
    echo "$1 did not come" >&2
    return 1
}

software_tpm_stop() {
    [ ${#software_tpm_pid[@]} -gt 0 ] || return 0
    kill "${software_tpm_pid[@]}" 2>/dev/null || true
    wait "${software_tpm_pid[@]}" || true
    software_tpm_pid=()
}

software_tpm_kill() { # swtpm or abrmd; without a chance to tidy up
    kill -KILL "${software_tpm_pid[$1]}"
    wait "${software_tpm_pid[$1]}" 2>/dev/null || true
    unset "software_tpm_pid[$1]"
}

software_tpm_swtpm() { # folder; its state stays there
    mkdir -p -m 700 "$1/state"
    rm -f "$1/socket" "$1/socket.ctrl"
    swtpm socket --tpm2 --tpmstate "dir=$1/state" --flags not-need-init,startup-clear \
        --server "type=unixio,path=$1/socket" --ctrl "type=unixio,path=$1/socket.ctrl" \
        2>"$1/swtpm.log" &
    software_tpm_pid[swtpm]=$!
    software_tpm_file "$1/socket"
}

software_tpm_abrmd() { # folder
    DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus TSS2_LOG=all+NONE tpm2-abrmd --session \
        --allow-root "--tcti=swtpm:path=$1/socket" 2>"$1/abrmd.log" &
    software_tpm_pid[abrmd]=$!
    for _ in $(seq 100); do
        ! DBUS_SESSION_BUS_ADDRESS=$software_tpm_bus tpm2_getcap \
            --tcti tabrmd:bus_type=session algorithms >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    echo "tpm2-abrmd does not answer: $(cat "$1/abrmd.log")" >&2
    return 1
}

software_tpm_start() { # folder for its state, sockets and logs
    mkdir -p -m 700 "$1"
    software_tpm_swtpm "$1" || return
    dbus-daemon --session --nofork --print-address >"$1/bus" 2>"$1/bus.log" &
    software_tpm_pid[bus]=$!
    software_tpm_file "$1/bus" || return
    software_tpm_bus=$(cat "$1/bus")
    software_tpm_abrmd "$1"
}
