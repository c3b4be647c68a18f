#!/usr/bin/env bash
# Tries the image and docker-compose.yml on a real Docker engine: builds, starts a cluster, writes
# and reads through every member, stops the leader, kills the next one, takes everything down and
# up again, and removes what it made except the image. It ends with another code than 0 if a check
# fails.
#
#   docker/try.sh                      three members
#   docker/try.sh --five               five members
#   NODE_IMAGE=... docker/try.sh       another base image, also one that is only on this machine
#   QUORATE_PORT_1=... docker/try.sh   another port for the clients of quorate-1; so for the others
#   ETCDCTL=etcdctl docker/try.sh      etcd's client on this machine instead of kvctl in the image
#   COMPOSE=docker-compose ...         another Compose
#
# It is a project of its own, with volumes of its own; only the ports must be free.
set -euo pipefail
cd "$(dirname "$0")/.."

# What the image adds to its base, in MiB: compiled program and packages, but no tools to build it.
app_mib_max=24
# A member has handed over and closed its files within this time, in seconds; one that is still
# looking for the others takes longest. A member gives up after 15,
# and Docker kills it after the 20 of docker-compose.yml.
stop_seconds_max=8

project=quorate-try
members=3
if [ "${1:-}" = '--five' ]; then members=5; fi
if [ -n "${COMPOSE:-}" ]; then
  read -ra compose <<<"$COMPOSE"
elif docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
else
  compose=(docker-compose)
fi
if [ "$members" = 5 ]; then compose+=(--env-file docker/five.env --profile five); fi
compose+=(--project-name "$project")

names=()
for n in $(seq "$members"); do names+=("quorate-$n"); done
# Where the clients of member $1 find it on this machine.
port() {
  local n=${1#quorate-} default=2379
  if [ "$n" != 1 ]; then default=$((n * 10000 + 2379)); fi
  local variable=QUORATE_PORT_$n
  echo "${!variable:-$default}"
}

checks=0
say() { printf '\n== %s\n' "$*"; }
ok() {
  checks=$((checks + 1))
  printf '   ok: %s\n' "$*"
}
fail() {
  printf '\nFAILED: %s\n' "$*" >&2
  "${compose[@]}" logs --tail 30 >&2 || true
  exit 1
}
cleanup() { "${compose[@]}" down --volumes --remove-orphans >/dev/null 2>&1 || true; }
trap cleanup EXIT
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

container() {
  docker ps --all --quiet --filter "label=com.docker.compose.project=$project" \
    --filter "label=com.docker.compose.service=$1"
}
inspect() { docker inspect --format "$2" "$(container "$1")"; }

# Runs a client against member $1 alone.
kv() {
  local member=$1
  shift
  if [ -n "${ETCDCTL:-}" ]; then
    ETCDCTL_API=3 "$ETCDCTL" --endpoints="127.0.0.1:$(port "$member")" "$@"
  else
    docker exec "$(container "$member")" kvctl --endpoints=127.0.0.1:2379 "$@"
  fi
}

# Repeats a command until it succeeds, for 30 seconds: an election takes a moment.
eventually() {
  local tries=60
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then return 1; fi
    sleep 0.5
  done
}

healthy() { [ "$(inspect "$1" '{{.State.Health.Status}}')" = healthy ]; }
# Whether the log of member $1 has the text $2.
says() { docker logs "$(container "$1")" 2>&1 | grep "$2" >/dev/null; }
reads() { [ "$(kv "$1" get "$2" --print-value-only)" = "$3" ]; }

# The member among those given whose status names itself as the leader.
leader() {
  local name
  for name in "$@"; do
    if kv "$name" endpoint status 2>/dev/null | grep 'true, false' >/dev/null; then
      echo "$name"
      return
    fi
  done
  return 1
}

# All members but the one given.
others() {
  local name
  for name in "${names[@]}"; do if [ "$name" != "$1" ]; then echo "$name"; fi; done
}

# Writes through each of the members $2, $3, ..., a key of its own below $1.
write_through() {
  local prefix=$1 name
  shift
  for name in "$@"; do
    eventually kv "$name" put "$prefix/$name" "$name" || fail "cannot write through $name"
  done
  ok "wrote through $*"
}

# Reads through every member what write_through wrote with the same arguments.
read_through_all() {
  local prefix=$1 reader writer
  shift
  for reader in "${names[@]}"; do
    for writer in "$@"; do
      eventually reads "$reader" "$prefix/$writer" "$writer" ||
        fail "$reader does not read $prefix/$writer"
    done
  done
  ok "every member reads what was written below $prefix/"
}

stopped_in_order() {
  local code
  code=$(inspect "$1" '{{.State.ExitCode}}')
  [ "$code" = 0 ] || fail "$1 ended with code $code after SIGTERM"
  [ "$2" -le "$stop_seconds_max" ] || fail "$1 took $2 s to stop"
}

for name in "${names[@]}"; do
  if (exec 3<>"/dev/tcp/127.0.0.1/$(port "$name")") 2>/dev/null; then
    echo "Port $(port "$name") is in use: QUORATE_PORT_${name#quorate-} can name another." >&2
    exit 1
  fi
done

say "building the image, and starting $members members"
cleanup
"${compose[@]}" build
"${compose[@]}" up --detach --no-build
for name in "${names[@]}"; do
  eventually healthy "$name" || fail "$name does not become healthy"
  ok "$name is healthy by its own check"
  [ "$(docker exec "$(container "$name")" id -u)" = 10001 ] || fail "$name runs as another user"
  published=$(docker port "$(container "$name")")
  [ "$published" = "2379/tcp -> 127.0.0.1:$(port "$name")" ] || fail "$name publishes $published"
done
ok 'every member runs as user 10001, and publishes the port of its clients on 127.0.0.1 only'
mib=$(docker exec "$(container quorate-1)" du -sm /app | cut -f 1)
[ "$mib" -le "$app_mib_max" ] || fail "/app has $mib MiB"
size=$(docker image inspect --format '{{.Size}}' quorate)
ok "the image has $((size / 1000000)) MB, $mib MiB of them Quorate"

say 'writing and reading through every member'
write_through before "${names[@]}"
read_through_all before "${names[@]}"
for name in "${names[@]}"; do
  curl --silent --fail "http://127.0.0.1:$(port "$name")/health" | grep true >/dev/null ||
    fail "$name does not answer at port $(port "$name")"
done
ok 'every member answers at its published port'

first=$(leader "${names[@]}") || fail 'no member leads'
say "stopping the leader, $first"
started=$SECONDS
docker stop "$(container "$first")" >/dev/null
stopped_in_order "$first" $((SECONDS - started))
ok "docker stop took about $((SECONDS - started)) s, code 0"
says "$first" 'handing leadership over before stopping' ||
  fail "$first did not hand over"
# Not eventually: there is no election to wait for.
second=$(leader $(others "$first")) || fail 'nobody took over'
ok "it had handed over to $second"
write_through stopped $(others "$first")
docker start "$(container "$first")" >/dev/null
read_through_all stopped $(others "$first")

say "killing the leader, $second"
docker kill "$(container "$second")" >/dev/null
write_through killed $(others "$second")
third=$(leader $(others "$second")) || fail 'nobody leads after the kill'
ok "$third leads"
docker start "$(container "$second")" >/dev/null
read_through_all killed $(others "$second")

say "stopping $first before it is up"
docker stop "$(container "$first")" >/dev/null
docker start "$(container "$first")" >/dev/null
started=$SECONDS
docker stop "$(container "$first")" >/dev/null
seconds=$((SECONDS - started))
[ "$seconds" -le "$stop_seconds_max" ] || fail "it took $seconds s: the signal was lost"
# 143 if Node itself was not up yet.
code=$(inspect "$first" '{{.State.ExitCode}}')
[ "$code" = 0 ] || [ "$code" = 143 ] || fail "it ended with code $code"
ok "docker stop took about $seconds s, code $code"
docker start "$(container "$first")" >/dev/null
read_through_all killed $(others "$second")

say 'stopping all, removing the containers, and starting with the same volumes'
started=$SECONDS
"${compose[@]}" stop
seconds=$((SECONDS - started))
for name in "${names[@]}"; do stopped_in_order "$name" "$seconds"; done
ok "all ended with code 0 within about $seconds s"
"${compose[@]}" down
[ -z "$(container quorate-1)" ] || fail 'containers are left'
"${compose[@]}" up --detach --no-build
for prefix in before stopped killed; do
  writers=("${names[@]}")
  if [ $prefix = stopped ]; then writers=($(others "$first")); fi
  if [ $prefix = killed ]; then writers=($(others "$second")); fi
  read_through_all $prefix "${writers[@]}"
done
write_through after "${names[@]}"

say "everything works: $checks checks, $members members"
