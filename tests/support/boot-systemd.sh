#!/bin/sh
# Boots a systemd as process 1 of new namespaces, on a throw-away copy of a root file system: this machine's, or BASE's.
# usage: boot-systemd.sh CGROUP ROOT FILES [FROM TO]…  - a control group and a folder, both empty; what is copied
# into the new root file system; folders that are mounted there, read-only
# BASE: a folder with the root file system of another machine, which then has all of its units
set -eu

if [ "${IN_NAMESPACES-}" != yes ]; then
  echo $$ >"$1/cgroup.procs"
  IN_NAMESPACES=yes exec unshare --mount --pid --fork --kill-child --cgroup --ipc --uts -- "$0" "$@"
fi
root=$2 files=$3
shift 3

mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$root"
mkdir "$root/upper" "$root/work" "$root/new"
# What the machine writes lands in memory and goes with the namespace.
mount -t overlay -o "lowerdir=${BASE:-/},upperdir=$root/upper,workdir=$root/work" overlay "$root/new"
cp -r "$files/." "$root/new/"
while [ $# -gt 0 ]; do
  mkdir -p "$root/new$2"
  mount --bind "$1" "$root/new$2"
  mount -o remount,bind,ro "$root/new$2"
  shift 2
done

cd "$root/new"
mount -t proc proc proc
# systemd raises limits of the whole kernel there; these are not ours.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --rbind /sys sys
umount -l sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount --bind /dev/null dev/kmsg # nor is the kernel's log
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
systemd-sysusers --root="$PWD"
pivot_root . .
umount -l .
cd /
mount --make-rshared / # as on any machine: services get their credentials mounted that way
# Of this machine only the units that are in /etc; `container` keeps systemd off hardware and kernel settings.
set -- /lib/systemd/systemd --system --unit=basic.target --show-status=false
if [ -z "${BASE-}" ]; then set -- SYSTEMD_UNIT_PATH=/etc/lambda-udf-test/units "$@"; fi
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lambda-udf-test SYSTEMD_GENERATOR_PATH=/nonexistent "$@"
