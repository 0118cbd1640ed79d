#!/bin/sh
# One command of an unpacked MySQL, run by the dynamic loader and the libraries that were unpacked with it;
# provide.sh puts this file into bin/ once per command. Knows nothing of the machine's own libraries.
# LAMBDA_UDF_PRELOAD: libraries to load first, separated by colons.
self=$(readlink -f -- "$0")
name=${self##*/}
root=${self%/bin/*}/root

for loader in "$root"/usr/lib/*/ld-linux*.so.* "$root"/usr/lib/*/ld64.so.* "$root"/usr/lib/ld-linux*.so.*; do
  if [ -x "$loader" ]; then break; fi
done
for program in "$root/usr/sbin/$name" "$root/usr/bin/$name"; do
  if [ -x "$program" ]; then break; fi
done

# Options about option files count only where they come first, before what is added here.
first= second=
case ${1-} in
  --no-defaults | --print-defaults | --defaults-*=*) first=$1; shift ;;
esac
case ${1-} in
  --print-defaults | --defaults-*=*) second=$1; shift ;;
esac

share=$root/usr/share/mysql
case $name in
  mysqld)
    set -- --basedir="$root/usr" --lc-messages-dir="$share" --character-sets-dir="$share/charsets" \
      --plugin-dir="$root/usr/lib/mysql/plugin" --secure-file-priv=NULL "$@" ;;
  mysqlslap) ;;
  *) set -- --character-sets-dir="$share/charsets" "$@" ;;
esac
exec "$loader" ${LAMBDA_UDF_PRELOAD:+--preload "$LAMBDA_UDF_PRELOAD"} --library-path "${loader%/*}" \
  "$program" ${first:+"$first"} ${second:+"$second"} "$@"
