# shellcheck shell=bash
# Private instances of the installed Postgres and RabbitMQ: finding or installing the programs,
# starting them on free loopback ports as an unprivileged user, and knowing that they answer.
# Sourced by ./dev together with services.sh, whose functions it uses.

# ---- handshakes: an open port may be anybody's, a login with our password is ours ----------------
# Passwords go through the environment: arguments can be read by everybody on the machine.

sql() { # database statement…
  local database=$1 statement arguments=()
  shift
  for statement; do arguments+=(-c "$statement"); done
  PGPASSWORD=$CREDITS_PASSWORD PGCONNECT_TIMEOUT=5 bounded 30 "$PG_BIN/psql" -XqAt -h 127.0.0.1 \
    -p "$POSTGRES_PORT" -U credits -d "$database" "${arguments[@]}"
}

# The empty block loads plpgsql: after a package upgrade under a running server `select 1` still
# works and this does not.
# shellcheck disable=SC2016
postgres_answers() { sql credit_ledger 'select 1' 'do $$ begin end $$' >/dev/null 2>&1; }

create_database() { sql postgres 'create database credit_ledger' >>"$STATE/log/initdb.log" 2>&1; }

# Header, Connection.Start, Start-Ok with our password, Connection.Tune.
# shellcheck disable=SC2016
rabbitmq_answers() {
  PORT=$RABBITMQ_PORT PASSWORD=$CREDITS_PASSWORD bounded 5 bash -c '
    frame() { head -c 11 <&3 | od -An -v -tx1 | tr -d " \n"; } # type channel size class method
    byte() { printf "\\x$(printf %02x "$1")"; }
    exec 3<>"/dev/tcp/127.0.0.1/$PORT" || exit 1
    printf "AMQP\0\0\11\1" >&3
    start=$(frame)
    [ "${start:0:6}${start:14}" = 010000000a000a ] || exit 1
    head -c $((16#${start:6:8} - 4 + 1)) <&3 >/dev/null
    answer=$((9 + ${#PASSWORD})) # zero, "credits", zero, the password
    {
      printf "\1\0\0\0\0\0"; byte $((24 + answer))
      printf "\0\12\0\13\0\0\0\0\5PLAIN\0\0\0"; byte "$answer"
      printf "\0credits\0%s\5en_US\316" "$PASSWORD"
    } >&3
    tune=$(frame)
    [ "${tune:0:6}${tune:14}" = 010000000a001e ]
  ' 2>/dev/null
}

# ---- the programs ------------------------------------------------------------------------------

find_servers() { # sets PG_BIN, RABBIT_BIN, EPMD; LACKING names the Debian packages not found
  local folder
  PG_BIN='' RABBIT_BIN='' LACKING=''
  for folder in "${POSTGRES_BIN_DIR:-}" $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV) \
    "$(dirname "$(command -v postgres || echo /none/none)")"; do
    if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ] && [ -x "$folder/psql" ]; then
      PG_BIN=$folder
      break
    fi
  done
  # Not the one in /usr/sbin: that wrapper insists on the rabbitmq user and on system folders.
  for folder in /usr/lib/rabbitmq/bin /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin; do
    if [ -x "$folder/rabbitmq-server" ]; then RABBIT_BIN=$folder; break; fi
  done
  EPMD=$(command -v epmd) || EPMD=''
  [ -n "$PG_BIN" ] || LACKING=postgresql
  [ -n "$RABBIT_BIN" ] && [ -n "$EPMD" ] || LACKING="${LACKING:+$LACKING }rabbitmq-server"
  [ -z "$LACKING" ]
}

install_servers() { # package…: Debian packages, without letting them start system services
  say "dev: installing $* with apt-get (no system service is started)"
  (
    policy=/usr/sbin/policy-rc.d saved=''
    # shellcheck disable=SC2317 # called by the trap
    restore() { rm -f "$policy"; [ -z "$saved" ] || mv "$saved" "$policy"; }
    # 101 means "do not start". A policy that says so already stays; any other is put back after.
    if ! { [ -x "$policy" ] && { "$policy" rabbitmq-server start; [ $? = 101 ]; }; }; then
      trap restore EXIT
      trap 'exit 130' INT TERM HUP
      if [ -e "$policy" ]; then saved=$policy.before-dev; mv "$policy" "$saved"; fi
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq &&
      apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
  ) </dev/null >"$STATE/log/install.log" 2>&1 8>&- 9>&- ||
    { log_tail install; fail "apt-get could not install $*, see above"; }
}

# ---- starting ----------------------------------------------------------------------------------

server_home() { # name: an empty folder that only the server's user may read
  rm -rf "${STATE:?}/$1"
  mkdir -m 700 "$STATE/$1"
}

start_postgres() {
  local home=$STATE/postgres
  server_home postgres
  (umask 077 && printf '%s\n' "$CREDITS_PASSWORD" >"$home/password")
  [ -z "$RUNNER" ] || chown -R "$RUNNER" "$home"
  cd "$home" || return # a working folder that the server's user may enter
  as_runner env -i PATH="$PATH" LC_ALL=C.UTF-8 "$PG_BIN/initdb" --pgdata="$home/data" --username=credits \
    --pwfile="$home/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync \
    >"$STATE/log/initdb.log" 2>&1 || { log_tail initdb; fail "initdb failed, see above"; }
  as_runner mkdir -m 700 "$home/socket"
  # Durable on purpose: rates measured without it would mean nothing.
  cat >>"$home/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $POSTGRES_PORT
unix_socket_directories = '$home/socket'
fsync = on
synchronous_commit = on
max_connections = 200
shared_buffers = 512MB
max_wal_size = 4GB
CONF
  # shellcheck disable=SC2086 # RUN_AS is several words, or none
  start_process postgres $RUN_AS env -i PATH="$PATH" LC_ALL=C.UTF-8 TZ=UTC \
    "$PG_BIN/postgres" -D "$home/data"
  cd "$ROOT" || return
}

# Erlang's schedulers spin for a while before they sleep; on a machine shared with Postgres and the
# worker that takes time from both (rabbitmq.com/docs/runtime, "Reducing CPU Usage").
ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none'

start_rabbitmq() { # distribution-port epmd-port
  local home=$STATE/rabbitmq
  server_home rabbitmq
  (
    umask 077
    random_hex 20 >"$home/.erlang.cookie"
    chmod 400 "$home/.erlang.cookie"
    echo '[].' >"$home/enabled_plugins"
    cat >"$home/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$RABBITMQ_PORT
default_user = credits
default_pass = $CREDITS_PASSWORD
log.console = true
log.file = false
disk_free_limit.absolute = 50MB
CONF
  )
  [ -z "$RUNNER" ] || chown -R "$RUNNER" "$home"
  cd "$home" || return
  # epmd is started here and in the foreground, so that its pid is known: the one that Erlang
  # starts by itself goes into the background and outlives the broker.
  # shellcheck disable=SC2086 # RUN_AS is several words, or none
  start_process epmd $RUN_AS env -i PATH="$PATH" "$EPMD" -port "$2" -address 127.0.0.1
  # RUNNING_UNDER_SYSTEMD makes the script become the server instead of its parent: one pid.
  # shellcheck disable=SC2086
  start_process rabbitmq $RUN_AS env -i PATH="$PATH" LC_ALL=C.UTF-8 HOME="$home" RUNNING_UNDER_SYSTEMD=1 \
    RABBITMQ_NODENAME="dev$RABBITMQ_PORT@localhost" RABBITMQ_DIST_PORT="$1" \
    ERL_EPMD_PORT="$2" ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_PID_FILE="$home/pid" \
    RABBITMQ_MNESIA_BASE="$home/mnesia" RABBITMQ_LOG_BASE="$home/log" \
    RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="$ERL_ARGS" \
    "$RABBIT_BIN/rabbitmq-server"
  cd "$ROOT" || return
}

private_start() {
  local distribution_port epmd_port
  CREDITS_PASSWORD=$(random_hex 16)
  read -r POSTGRES_PORT RABBITMQ_PORT distribution_port epmd_port <<<"$(free_ports 4)"
  say "dev: starting private Postgres and RabbitMQ in $STATE"
  record_servers private
  # RabbitMQ takes seconds to start, so Postgres starts meanwhile.
  start_rabbitmq "$distribution_port" "$epmd_port" && start_postgres &&
    await_process postgres 30 create_database && await_process postgres 10 postgres_answers &&
    await_process rabbitmq 60 rabbitmq_answers
}

# ---- stopping ----------------------------------------------------------------------------------

# What these servers started by themselves and nobody recorded: the backends of a Postgres that was
# killed (they notice and end, but not in the middle of a long statement), and the epmd that Erlang
# starts when ours was killed. Known by the working folder or the home folder that we gave them.
leftovers() {
  local process name
  for process in /proc/[0-9]*; do
    { read -r name <"$process/comm"; } 2>/dev/null || continue
    case $name in
      postgres) [ "$process/cwd" -ef "$STATE/postgres/data" ] ;;
      epmd) tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qxF "HOME=$STATE/rabbitmq" ;;
      *) false ;;
    esac && printf '%s ' "${process#/proc/}"
  done
}

end_leftovers() {
  local tries pids
  for ((tries = 0; tries < 40; tries++)); do
    pids=$(leftovers) || true
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086 # several pids
    case $tries in
      0) kill -TERM $pids 2>/dev/null || true ;;
      39) kill -KILL $pids 2>/dev/null || true ;;
    esac
    sleep 0.05
  done
}
