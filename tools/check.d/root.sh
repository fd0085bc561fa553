# shellcheck shell=bash
# For scripts beside this one that work in a fresh Debian: makes root folders, and runs commands in
# namespaces whose mounts and processes end with them, however they end. For root.
#
# The mirror and the settings of apt and pip, the proxies and the certificates are those of this
# machine, and its network is shared, as apt and pip need it.

# sources CODENAME: apt's sources of a release of Debian and of its updates, one a line.
sources() {
    # shellcheck disable=SC2016 # apt's variables
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v name="$1" '$4 == "main" && ($3 == name || index($3, name "-") == 1)' | sort -u
}

# make_root RELEASE FOLDER [PACKAGE,...]: a minimal Debian, with these packages.
make_root() {
    local release=$1 root=$2 codename mirror
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    mirror=$(sources "$codename" | awk -v name="$codename" '$3 == name { print $2; exit }')
    if [ -z "$mirror" ]; then
        echo "apt knows no mirror of \"$codename\", the release of this machine" >&2
        return 1
    fi
    debootstrap --variant=minbase --include="ca-certificates${3:+,$3}" "$release" "$root" "$mirror"
    sources "$codename" | sed "s/ $codename\\>/ $release/" >"$root/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(https?|Check-Date|Check-Valid-Until|Retries)\b' \
        >"$root/etc/apt/apt.conf.d/99host" || true
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
    cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"
    chroot "$root" update-ca-certificates
}

# mount_system ROOT: what programs expect of a running system.
mount_system() {
    mount -t proc proc "$1/proc"
    mount --rbind /sys "$1/sys"
    mount --rbind /dev "$1/dev"
}

# enter ROOT COMMAND...: runs it in the folder, with nothing of the environment but how to reach
# the network.
enter() {
    local root=$1
    local -a environment
    shift
    mapfile -t environment < <(env |
        grep -iE '^(PIP_[A-Z_]*|[a-z]*_proxy|SSL_CERT_FILE|SSL_CERT_DIR)=')
    env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "${environment[@]}" \
        chroot "$root" "$@" </dev/null
}

# with_folder SCRIPT ARGUMENT...: runs "SCRIPT --inside FOLDER ARGUMENT..." in namespaces, with an
# empty folder under build/ that is removed afterwards; returns its status.
with_folder() {
    local script=$1 rc=0
    shift
    if [ "$(id -u)" != 0 ]; then
        echo "$script: only root can make a root folder" >&2
        return 1
    fi
    if ! command -v debootstrap >/dev/null; then
        echo "$script: debootstrap is missing: tools/packages release" >&2
        return 1
    fi
    mkdir -p build
    folder=$(mktemp -d -p "$PWD/build" root-XXXXXX)
    child=
    chmod 755 "$folder" # not everything inside runs as root
    trap leave EXIT
    trap 'exit 1' INT TERM HUP
    setpriv --pdeathsig KILL -- unshare --mount --pid --fork --kill-child \
        "$script" --inside "$folder" "$@" &
    child=$!
    wait "$child" || rc=$?
    child=
    return $rc
}

leave() {
    if [ -n "$child" ]; then
        kill -KILL "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    # What was killed may write for another moment.
    rm -rf --one-file-system "$folder" || { sleep 2 && rm -rf --one-file-system "$folder"; }
}
