# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
#
# fetchlib.sh - Debian packages, unpacked into the cache and not installed
#
# Sourced by scripts that set PROG, and call cache_open FOLDER first. apt finds
# the packages, downloads them, and verifies them against signed lists. What is
# complete appears under its final name by one rename, under a lock, so several
# runs at once are harmless, and a broken run leaves nothing that a later one
# could mistake for the whole.

LOCK_TIMEOUT_S=600
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
MIRROR=http://deb.debian.org/debian

die()
{
	echo "$PROG: $*" >&2
	exit 1
}

# a folder of the cache, locked until this script ends; $store and $tmp are set.
# The lock goes with the file descriptor, however the script ends.
cache_open()
{
	cache=${GW_CACHE:-${XDG_CACHE_HOME:-${HOME:?neither GW_CACHE nor HOME is set}/.cache}/guestwire}
	store=$cache/$1
	mkdir -p "$store" || die "cannot make the cache '$store'; set GW_CACHE to a writable folder"
	store=$(cd "$store" && pwd)
	# apt with lists of our own, so that it needs neither root nor the system's
	lists=$store/lists
	sources=
	private=
	exec 9>"$store/.lock"
	flock -w "$LOCK_TIMEOUT_S" 9 || die "another run has held '$store/.lock' for $LOCK_TIMEOUT_S s"
	# what killed runs may have left; under the lock nobody else uses it
	rm -rf "$store"/tmp.*
	tmp=$(mktemp -d "$store/tmp.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# from now on apt knows this suite of Debian only, whatever the system has
use_suite()
{
	lists=$store/lists-$1
	sources=$lists.sources.list
	private=1
	mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb .*\(http[^ ]*\).*/\1/p' \
		/etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null |
		grep -v security | head -n 1)
	mkdir -p "$lists"
	echo "deb [signed-by=$KEYRING] ${mirror:-$MIRROR} $1 main" >"$sources"
}

apt_run()
{
	tool=$1
	shift
	if [ "$(id -u)" = 0 ]; then
		# root's download folder is no place for the user _apt
		set -- -o APT::Sandbox::User=root "$@"
	fi
	if [ -n "$private" ]; then
		set -- -o Dir::State::Lists="$lists" -o Dir::Cache="$lists/cache" "$@"
	fi
	if [ -n "$sources" ]; then
		set -- -o Dir::Etc::SourceList="$sources" -o Dir::Etc::SourceParts=/dev/null "$@"
	fi
	"$tool" -q "$@"
}

refresh_lists()
{
	private=1
	mkdir -p "$lists/partial" "$lists/cache/archives/partial"
	echo "$PROG: fetching package lists into $lists" >&2
	apt_run apt-get update -o APT::Update::Error-Mode=any >&2
}

cached()
{
	[ -d "$store/$1" ]
}

download()
{
	echo "$PROG: downloading $* to $store (nothing is installed)" >&2
	(cd "$tmp" && apt_run apt-get download "$@" >&2)
}

# compare what was unpacked with the checksums in the package
verify()
{
	rm -rf "$tmp/control"
	dpkg-deb -e "$1" "$tmp/control"
	(cd "$tmp/root" && md5sum --quiet -c "$tmp/control/md5sums") >&2
}

# packages that were downloaded, side by side in $tmp/root
unpack()
{
	mkdir "$tmp/root"
	for unpacked; do
		deb=$(ls "$tmp/$unpacked"_*.deb) || die "apt-get download left no package in '$tmp'"
		dpkg-deb -x "$deb" "$tmp/root" || die "cannot unpack '$deb'"
		verify "$deb" || die "'$deb' does not unpack to what it promises"
		rm "$deb"
	done
}

# the newest of the folders in the store whose names match
newest_cached()
{
	find "$store" -maxdepth 1 -name "$1" -printf '%f\n' | sort -V | tail -n 1
}

# under its final name only when it is complete
keep()
{
	mv "$tmp/root" "$store/$1"
}
