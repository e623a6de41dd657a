# Installs and builds what the scenarios need; sourced after tools/lib.sh. Needs $source.

scenario_packages=(kamailio sip-tester libre-dev rtpengine-daemon gstreamer1.0-tools
                   gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
                   ffmpeg tshark jq iproute2 python3 python3-cryptography python3-pyasn1-modules faketime stunnel4)
scenario_services=(kamailio rtpengine-daemon stunnel4)

# Services of packages are for a real network: here only processes of a scenario run. A service
# that is not installed yet is masked, and the policy of invoke-rc.d is for systems without systemd.
install_without_services() {
    local policy=/usr/sbin/policy-rc.d made= name status=0
    if [ "$(id -u)" = 0 ]; then
        for name in "${scenario_services[@]}"; do
            [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
                [ -e "/etc/systemd/system/$name.service" ] ||
                ln -s /dev/null "/etc/systemd/system/$name.service"
        done
        if [ ! -e $policy ]; then
            printf '#!/bin/sh\nexit 101\n' >$policy
            chmod +x $policy
            made=1
        fi
    fi
    install_missing "$@" || status=$?
    [ -z "$made" ] || rm -f $policy
    return $status
}

prepare() {
    install_without_services "${build_packages[@]}" "${scenario_packages[@]}"
    local said
    said=$(cd "$source" && build build-scenarios gcc -Dbuildtype=release -Dscenarios=enabled 2>&1) ||
        { echo "$said" >&2; return 1; }
}
