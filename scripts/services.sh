# shellcheck shell=bash
# The servers behind ./dev: finds or starts Postgres and RabbitMQ, and stops what it started.
# Sourced by ./dev, which sets ROOT (the clone). The order of preference is in servers_use and
# servers_start; how private instances are made is in instances.sh.

say() { printf '%s\n' "$*" >&2; }
fail() { say "dev: $*"; exit 1; }
missing() { say "dev: $*"; exit 2; } # 2: the machine lacks something, nothing was tried

# ---- the state folder: one per clone ------------------------------------------------------------

# Neither server runs as root (Postgres refuses to), so root starts them as this user.
RUNNER='' RUN_AS=''
if [ "$(id -u)" = 0 ]; then
  for user in nobody postgres; do
    if id "$user" >/dev/null 2>&1; then RUNNER=$user; break; fi
  done
  RUN_AS="setpriv --reuid=${RUNNER:-nobody} --regid=$(id -g "${RUNNER:-nobody}") --clear-groups --"
fi
as_runner() { $RUN_AS "$@"; }

path_hash() { printf '%s' "$ROOT" | cksum | cut -d' ' -f1; }

# Not under target/: `cargo clean` would pull the data from under running servers.
# Under /var/tmp when the unprivileged user cannot reach the clone, or when the path is too long
# for a Unix socket (107 bytes).
choose_state() {
  STATE=$ROOT/.dev
  if [ ${#STATE} -gt 75 ] || ! as_runner test -x "$ROOT" 2>/dev/null; then
    STATE=/var/tmp/credit-ledger-$(path_hash)
  fi
  [ -d "$STATE" ] || mkdir -m 711 "$STATE" || fail "cannot create $STATE; make its parent folder writable"
  # In a folder that everybody can write to, the name may have been taken by somebody else.
  if [ -L "$STATE" ] || [ ! -O "$STATE" ]; then
    fail "$STATE belongs to another user; remove it, or use a clone of your own"
  fi
  [ -d "$STATE/log" ] || mkdir -m 700 "$STATE/log"
}

# ---- processes: recorded as "pid start-time boot", so that a reused pid is never killed ----------

process_mark() { # pid -> its start time and the boot it belongs to; fails when it has ended
  local stat
  [ -e /proc/self/stat ] || { ps -o lstart= -p "$1"; return; } # macOS
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The name in parentheses may hold spaces; state and start time are fields 1 and 20 after it.
  # shellcheck disable=SC2086 # split into words
  set -- ${stat##*) }
  [ "$1" != Z ] && printf '%s %s' "${20}" "$(cat /proc/sys/kernel/random/boot_id)"
}

recorded_pid() { # name -> pid, if that very process still runs
  local pid mark
  [ -r "$STATE/$1.pid" ] && read -r pid mark <"$STATE/$1.pid" || return 1
  [ "$(process_mark "$pid")" = "$mark" ] && printf '%s' "$pid"
}

# In a session of its own, so that Ctrl-C on a command reaches the command and not its servers.
# The descriptors of the locks stay with this script.
SETSID=$(command -v setsid) || SETSID=''
start_process() { # name command…
  local name=$1 pid mark
  shift
  : >"$STATE/log/$name.log"
  $SETSID "$@" </dev/null >>"$STATE/log/$name.log" 2>&1 8>&- 9>&- &
  pid=$!
  disown "$pid"
  mark=$(process_mark "$pid") && printf '%s %s\n' "$pid" "$mark" >"$STATE/$name.pid"
}

await_process() { # name seconds check: repeats the check until it holds or the process has ended
  local end=$((SECONDS + $2))
  until "$3"; do
    if ! recorded_pid "$1" >/dev/null; then
      say "dev: $1 ended while starting"
    elif [ $SECONDS -ge "$end" ]; then
      say "dev: $1 did not answer within $2 s"
    else
      sleep 0.1
      continue
    fi
    log_tail "$1"
    return 1
  done
}

stop_process() { # name seconds signal: asks with the signal, insists with KILL after the seconds
  local pid tries
  if pid=$(recorded_pid "$1"); then
    kill "-$3" "$pid" 2>/dev/null || true
    for ((tries = $2 * 20; tries > 0; tries--)); do
      recorded_pid "$1" >/dev/null || break
      sleep 0.05
    done
    if recorded_pid "$1" >/dev/null; then
      say "dev: $1 (pid $pid) did not stop within $2 s, killing it"
      kill -KILL "$pid" 2>/dev/null || true
    fi
  fi
  rm -f "$STATE/$1.pid"
}

log_tail() { # name
  say "--- last lines of $STATE/log/$1.log"
  tail -n 20 "$STATE/log/$1.log" >&2
}

# ---- small tools -------------------------------------------------------------------------------

random_hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# Free loopback ports, all held at once so that they differ. The kernel picks them: a number that
# merely looks free may be another node's distribution port.
free_ports() { # how many
  command -v perl >/dev/null || missing "finding free ports needs perl; install it"
  perl -MSocket -e 'for (1..shift) { socket(my $s, PF_INET, SOCK_STREAM, 0) or die; push @s, $s;
    bind($s, pack_sockaddr_in(0, INADDR_LOOPBACK)) or die;
    print((unpack_sockaddr_in(getsockname($s)))[0], " ") } print "\n"' "$1"
}

port_is_free() { # port: on loopback
  perl -MSocket -e 'socket(my $s, PF_INET, SOCK_STREAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
    exit(bind($s, pack_sockaddr_in(shift, INADDR_LOOPBACK)) ? 0 : 1)' "$1"
}

bounded() { # seconds command…; macOS has no timeout
  if command -v timeout >/dev/null; then timeout "$@"; else shift; "$@"; fi
}

# ---- Docker Compose ----------------------------------------------------------------------------

# A project of its own, so that its volumes are not those of a `docker compose up` by hand.
compose() { docker compose --project-directory "$ROOT" -p "credit-ledger-dev-$(path_hash)" "$@"; }

compose_usable() {
  [ -f "$ROOT/docker-compose.yml" ] && command -v docker >/dev/null &&
    bounded 5 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

compose_start() {
  CREDITS_PASSWORD=$(random_hex 16)
  read -r POSTGRES_PORT RABBITMQ_PORT RABBITMQ_UI_PORT <<<"$(free_ports 3)"
  export CREDITS_PASSWORD POSTGRES_PORT RABBITMQ_PORT RABBITMQ_UI_PORT
  say "dev: starting Postgres and RabbitMQ with Docker Compose"
  record_servers compose
  compose up --detach --wait postgres rabbitmq >"$STATE/log/compose.log" 2>&1 ||
    { log_tail compose; return 1; }
}

# ---- the whole: use, reuse, stop ---------------------------------------------------------------

# Both locks are released by the kernel when their holder ends, however it ends. `lock` is held
# while servers start or stop; `users` is held, shared, by each command that needs them.
hold() { # descriptor file flock-option…
  command -v flock >/dev/null || return 0 # macOS: two commands at once are on their own
  eval "exec $1>\"\$STATE/$2\""
  flock "${@:3}" "$1"
}
lock() {
  hold 9 lock -w 180 ||
    fail "another ./dev has been starting or stopping servers for 3 minutes; end it and try again"
}
unlock() { exec 9>&-; }

record_servers() { # kind; before anything starts, so that an interrupted start can be undone
  KIND=$1
  (umask 077 && printf '%s=%q\n' KIND "$KIND" CREDITS_PASSWORD "$CREDITS_PASSWORD" \
    POSTGRES_PORT "$POSTGRES_PORT" RABBITMQ_PORT "$RABBITMQ_PORT" >"$STATE/servers")
}

# Those recorded for this clone, if they answer: sets KIND and the URLs.
servers_recorded() {
  [ -r "$STATE/servers" ] || return 1
  # shellcheck disable=SC1091
  . "$STATE/servers"
  if [ "$KIND" = compose ]; then
    compose exec -T postgres pg_isready -q -U credits >/dev/null 2>&1 && rabbitmq_answers || return 1
  else
    find_servers && answers postgres postgres_answers && answers rabbitmq rabbitmq_answers || return 1
  fi
  set_urls
}

# Patient with a busy server, not with a dead one: a "no" here costs whoever uses it their data.
answers() { # process check
  local tries
  for tries in 3 2 1 0; do
    recorded_pid "$1" >/dev/null || return 1
    "$2" && return
    sleep "$tries"
  done
  return 1
}

set_urls() {
  DATABASE_URL=postgres://credits:$CREDITS_PASSWORD@127.0.0.1:$POSTGRES_PORT/credit_ledger
  AMQP_URL=amqp://credits:$CREDITS_PASSWORD@127.0.0.1:$RABBITMQ_PORT/%2f
}

# Both set by a person: used as they are. Values that `./dev env` put into this shell are not that:
# they are stale after the next `./dev down`.
servers_given() {
  [ -n "${DATABASE_URL:-}" ] && [ -n "${AMQP_URL:-}" ] &&
    [ "${CREDITS_DEV_URLS:-}" != "$DATABASE_URL $AMQP_URL" ]
}

servers_use() { # sets and exports DATABASE_URL and AMQP_URL, starting servers when there are none
  if servers_given; then
    KIND=given
  else
    lock
    hold 8 users -s
    if ! servers_recorded; then
      servers_stop # what is left of servers that no longer answer
      servers_start
      set_urls
    fi
    unlock
  fi
  export DATABASE_URL AMQP_URL
}

servers_start() {
  if compose_usable; then
    compose_start || fail "Docker Compose could not start the servers, see above"
    return
  fi
  [ "$(uname -s)" = Linux ] ||
    missing "no Docker engine answers, and on $(uname -s) this script starts servers only with Docker
     Compose. Start Docker and try again, or set DATABASE_URL and AMQP_URL to servers you have."
  if ! find_servers && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # shellcheck disable=SC2086 # a list of packages
    install_servers $LACKING
  fi
  find_servers || missing "not found: $LACKING, and no Docker engine answers. One of these helps:
       sudo apt-get install $LACKING     (or your system's packages of the same)
       start Docker
       set DATABASE_URL and AMQP_URL to servers you have"
  as_runner true 2>/dev/null ||
    missing "Postgres does not run as root, and root could not become '${RUNNER:-nobody}' here (setpriv,
     package util-linux). Run ./dev as an ordinary user."
  # Twice: between finding a free port and using it somebody else may take it.
  private_start || { say "dev: trying once more"; servers_stop; private_start; } ||
    fail "the servers did not start, see above; their logs are in $STATE/log"
}

servers_stop() { # the worker first: it needs them for a clean end
  local kind
  stop_process worker 25 TERM
  # shellcheck disable=SC1091
  kind=$(. "$STATE/servers" 2>/dev/null && printf '%s' "$KIND") || kind=''
  if [ "$kind" = compose ]; then
    compose down --volumes --timeout 20 >>"$STATE/log/compose.log" 2>&1 ||
      { log_tail compose; fail "docker compose down failed, see above; is Docker running?"; }
  fi
  stop_process rabbitmq 20 TERM
  stop_process postgres 20 INT # INT: do not wait for clients
  stop_process epmd 5 TERM
  end_leftovers
  rm -rf "$STATE/postgres" "$STATE/rabbitmq" "$STATE/servers" "$STATE/worker" "$STATE/keep"
}

# At the end of a command: stops the servers, unless `up` or `services` asked to keep them or
# another command is still using them.
servers_release() {
  if [ "${KIND:-given}" = given ] || [ -e "$STATE/keep" ]; then return; fi
  exec 8>&-
  lock
  if hold 8 users -x -n && [ ! -e "$STATE/keep" ]; then servers_stop; fi
  unlock
}
