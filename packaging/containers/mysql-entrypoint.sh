#!/bin/bash
# The entry point of the stand-in for MySQL's official image: the same variables, init folder, accounts and order.
# Knows nothing of lambda-udf. Only for machines that reach no image registry; stand-ins.sh puts it in.
set -euo pipefail

INIT=/docker-entrypoint-initdb.d
SOCKET=/var/run/mysqld/mysqld.sock

say() { printf '%s [Entrypoint]: %s\n' "$(date --rfc-3339=seconds)" "$*" >&2; }
die() { say "$*"; exit 1; }

# NAME or the contents of the file that NAME_FILE names; the two exclude each other.
take_from_file() {
  local name=$1 file=$1_FILE
  [[ -z ${!name-} || -z ${!file-} ]] || die "both $name and $file are set (but are exclusive)"
  if [[ -n ${!file-} ]]; then export "$name=$(<"${!file}")"; fi
  unset "$file"
}

# What mysqld, with these arguments and its option files, takes for a setting.
setting() {
  mysqld "${@:2}" --verbose --help 2>/dev/null | awk -v name="$1" '$1 == name { print $2; exit }'
}

quoted() { local text=${1//\\/\\\\}; printf "'%s'" "${text//\'/\\\'}"; }

# SQL on standard input, as root, in MYSQL_DATABASE where there is one. Sourced init scripts call it by this name.
docker_process_sql() {
  MYSQL_PWD=${MYSQL_ROOT_PASSWORD-} mysql --no-defaults --protocol=socket --socket="$SOCKET" --user=root --comments \
    ${database:+"--database=$database"} "$@"
}

initialize() {
  [[ -n ${MYSQL_ROOT_PASSWORD-}${MYSQL_ALLOW_EMPTY_PASSWORD-}${MYSQL_RANDOM_ROOT_PASSWORD-} ]] ||
    die "Database is uninitialized and password option is not specified: specify one of MYSQL_ROOT_PASSWORD," \
      "MYSQL_ALLOW_EMPTY_PASSWORD and MYSQL_RANDOM_ROOT_PASSWORD"
  [[ ${MYSQL_USER-} != root ]] || die "MYSQL_USER=\"root\", MYSQL_USER and MYSQL_PASSWORD are for a regular user"
  say "Initializing database files"
  mysqld "$@" --initialize-insecure
}

start_temporary() {
  mysqld "$@" --daemonize --skip-networking --mysqlx=OFF --socket="$SOCKET" --pid-file="$SOCKET.pid"
}

stop_temporary() {
  MYSQL_PWD=${MYSQL_ROOT_PASSWORD-} mysqladmin --no-defaults --socket="$SOCKET" --user=root shutdown
  while [[ -e $SOCKET.pid ]]; do sleep 0.1; done
}

create_accounts() {
  local password=${MYSQL_ROOT_PASSWORD-} host=${MYSQL_ROOT_HOST:-%} wanted=${MYSQL_DATABASE-} name
  if [[ -n ${MYSQL_RANDOM_ROOT_PASSWORD-} ]]; then
    password=$(head -c 18 /dev/urandom | base64)
    say "GENERATED ROOT PASSWORD: $password"
  fi
  {
    if [[ -n $host && $host != localhost ]]; then
      printf "CREATE USER 'root'@%s IDENTIFIED BY %s; GRANT ALL ON *.* TO 'root'@%s WITH GRANT OPTION;\n" \
        "$(quoted "$host")" "$(quoted "$password")" "$(quoted "$host")"
    fi
    # Last: from here on, this connection's password is another.
    printf "ALTER USER 'root'@'localhost' IDENTIFIED BY %s;\n" "$(quoted "$password")"
  } | MYSQL_ROOT_PASSWORD='' docker_process_sql
  export MYSQL_ROOT_PASSWORD=$password
  name=\`${wanted//\`/\`\`}\`
  if [[ -n $wanted ]]; then
    docker_process_sql <<<"CREATE DATABASE IF NOT EXISTS $name;"
    database=$wanted
  fi
  if [[ -n ${MYSQL_USER-} && -n ${MYSQL_PASSWORD-} ]]; then
    {
      printf "CREATE USER %s@'%%' IDENTIFIED BY %s;\n" "$(quoted "$MYSQL_USER")" "$(quoted "$MYSQL_PASSWORD")"
      if [[ -n $wanted ]]; then
        printf "GRANT ALL ON %s.* TO %s@'%%';\n" "${name//_/\\_}" "$(quoted "$MYSQL_USER")"
      fi
    } | docker_process_sql
  fi
}

process_init_files() {
  local file
  for file in "$INIT"/*; do
    case $file in
      *.sh)
        say "running $file"
        if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
      *.sql) say "running $file"; docker_process_sql <"$file" ;;
      *.sql.gz) say "running $file"; gunzip -c "$file" | docker_process_sql ;;
      "$INIT/*") ;;
      *) say "ignoring $file" ;;
    esac
  done
}

if [[ ${1-} == -* ]]; then set -- mysqld "$@"; fi
if [[ ${1-} != mysqld || " $* " == *" --help "* || " $* " == *" --version "* ]]; then exec "$@"; fi
shift

datadir=$(setting datadir "$@")
[[ -n $datadir ]] || die "mysqld refuses its arguments or option files: $(mysqld "$@" --verbose --help 2>&1 >/dev/null | tail -n 3)"
if (($(id -u) == 0)); then
  mkdir -p "$datadir"
  find "$datadir" /var/run/mysqld \! -user mysql -exec chown mysql:mysql {} +
  say "Switching to dedicated user 'mysql'"
  exec setpriv --reuid=mysql --regid=mysql --init-groups "${BASH_SOURCE[0]}" mysqld "$@"
fi

for name in MYSQL_ROOT_HOST MYSQL_DATABASE MYSQL_USER MYSQL_PASSWORD MYSQL_ROOT_PASSWORD; do take_from_file "$name"; done
database=
if [[ ! -d $datadir/mysql ]]; then
  ls "$INIT"/ >/dev/null # an init folder that cannot be read is found before anything is made
  initialize "$@"
  start_temporary "$@"
  create_accounts
  process_init_files
  stop_temporary
  say "MySQL init process done. Ready for start up."
fi
exec mysqld "$@"
