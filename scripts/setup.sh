#!/usr/bin/env bash
# Bring a bare Debian (or a machine that has the programs already) to the point where the project runs.
#
#   scripts/setup.sh run     what `make run` needs: Python with venv, iproute2, the virtual environment
#   scripts/setup.sh test    the same, and the programs the tests compare us with
#
# Idempotent: installs only what is missing, and does nothing at all when the stamp in .venv says that this
# pyproject.toml has been installed by this Python.  PYTHON=... chooses an interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-run}
venv=.venv
stamp=$venv/.setup-stamp

say() { printf 'setup: %s\n' "$*" >&2; }

# A usable interpreter is new enough and can make a virtual environment with pip in it.
usable_python() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if command -v "$candidate" >/dev/null 2>&1 && usable_python "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# Debian packages that are missing, one a line.
missing_packages() {
    find_python >/dev/null || printf '%s\n' python3 python3-venv
    command -v ip >/dev/null 2>&1 || echo iproute2
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    [ "$purpose" = test ] || return 0
    command -v keepalived >/dev/null 2>&1 || [ -x /usr/sbin/keepalived ] || echo keepalived
    command -v killall >/dev/null 2>&1 || echo psmisc
    command -v man >/dev/null 2>&1 || echo man-db
    command -v groff >/dev/null 2>&1 || echo groff-base
    # A kernel with IPVS that runs as a process, and real servers for the checks.
    command -v linux.uml >/dev/null 2>&1 || echo user-mode-linux
    command -v modprobe >/dev/null 2>&1 || [ -x /usr/sbin/modprobe ] || echo kmod
    command -v ipvsadm >/dev/null 2>&1 || [ -x /usr/sbin/ipvsadm ] || echo ipvsadm
    command -v curl >/dev/null 2>&1 || echo curl
    command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || echo nginx-light
    command -v unbound >/dev/null 2>&1 || [ -x /usr/sbin/unbound ] || echo unbound
    command -v ncat >/dev/null 2>&1 || echo ncat
    command -v openssl >/dev/null 2>&1 || echo openssl
}

# The package of the real keepalived would start its service on this machine, and the service would take
# part in elections of the real network.  policy-rc.d is Debian's way to say "install, do not start"; one
# that is there already is put back afterwards, whatever happens.
policy=/usr/sbin/policy-rc.d

forbid_starting() {
    [ ! -e "$policy" ] || mv "$policy" "$policy.before-setup"
    trap allow_starting EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

allow_starting() {
    trap - EXIT
    rm -f "$policy"
    [ ! -e "$policy.before-setup" ] || mv "$policy.before-setup" "$policy"
}

install_packages() {
    if [ "$(id -u)" != 0 ]; then
        say "missing Debian packages: $* (run as root, or install them yourself)"
        exit 1
    fi
    if ! command -v apt-get >/dev/null 2>&1; then
        say "missing: $* (no apt-get here: install them with the package manager of this system)"
        exit 1
    fi
    say "installing Debian packages: $*"
    forbid_starting
    apt_install "$@" 2>/dev/null || { apt-get -qq update && apt_install "$@"; }
    allow_starting
}

# The first try may fail only because no package lists are there yet; the second one's errors are shown.
apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

fingerprint() {
    { cat pyproject.toml; readlink -f "$1"; "$1" --version; pwd; } | sha256sum | cut -d' ' -f1
}

mapfile -t missing < <(missing_packages)
if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
fi

python=$(find_python) || { say "no Python 3.11 or newer with venv found"; exit 1; }
wanted=$(fingerprint "$python")
if [ -x "$venv/bin/keepalived-py" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

say "making $venv with $python ($("$python" --version))"
"$python" -m venv --clear "$venv"
say "installing keepalived-py and the tools of its tests into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
printf '%s\n' "$wanted" >"$stamp"
