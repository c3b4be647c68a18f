#!/usr/bin/env bash
# Tries the image and docker-compose.yml on a real Docker engine: builds, starts a cluster, writes
# and reads through every member, kills the leader's container, reads and writes on, brings it
# back, restarts all, and removes everything it made.
#
#   docker/try.sh                      three members
#   docker/try.sh --five               five members
#   NODE_IMAGE=... docker/try.sh       another base image
#   ETCDCTL=etcdctl docker/try.sh      etcd's client on this machine instead of kvctl in the image
#
# Uses a project and volumes of its own; the ports 2379, 22379, ... must be free.
set -euo pipefail
cd "$(dirname "$0")/.."

members=3
if [ "${1:-}" = '--five' ]; then members=5; fi
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(--project-name quorate-try)
if [ "$members" = 5 ]; then compose+=(--env-file docker/five.env); fi

names=()
for n in $(seq "$members"); do names+=("quorate-$n"); done
port() { if [ "$1" = 1 ]; then echo 2379; else echo "$(($1 * 10000 + 2379))"; fi; }

say() { printf '\n== %s\n' "$*"; }
fail() {
  printf '\nFAILED: %s\n' "$*" >&2
  "${compose[@]}" logs --tail 30 >&2 || true
  exit 1
}
cleanup() { "${compose[@]}" down --volumes --remove-orphans >/dev/null 2>&1 || true; }
trap cleanup EXIT

container() { "${compose[@]}" ps --quiet "$1"; }

# Runs a client against member $1 alone.
kv() {
  local member=$1
  shift
  if [ -n "${ETCDCTL:-}" ]; then
    ETCDCTL_API=3 "$ETCDCTL" --endpoints="127.0.0.1:$(port "${member#quorate-}")" "$@"
    return
  fi
  docker exec "$(container "$member")" kvctl --endpoints=127.0.0.1:2379 "$@"
}

# Repeats a command until it succeeds: an election takes a moment.
eventually() {
  local tries=60
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then return 1; fi
    sleep 0.5
  done
}

healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]; }
reads() { [ "$(kv "$1" get "$2" --print-value-only)" = "$3" ]; }

# The member whose status names itself as the leader.
leader() {
  local name
  for name in "$@"; do
    if kv "$name" endpoint status 2>/dev/null | grep -q 'true, false'; then
      echo "$name"
      return
    fi
  done
  return 1
}

say 'building the image'
docker build --network host --file docker/Dockerfile --tag quorate \
  ${NODE_IMAGE:+--build-arg "NODE_IMAGE=$NODE_IMAGE"} .
docker image ls quorate

say "starting $members members"
cleanup
"${compose[@]}" up --detach --no-build
for name in "${names[@]}"; do
  eventually healthy "$name" || fail "$name does not become healthy"
done
[ "$(docker exec "$(container quorate-1)" id -u)" != 0 ] || fail 'the member runs as root'

say 'writing and reading through every member, and from this machine'
for name in "${names[@]}"; do
  eventually kv "$name" put "from/$name" "$name" || fail "cannot write through $name"
done
for reader in "${names[@]}"; do
  for writer in "${names[@]}"; do
    reads "$reader" "from/$writer" "$writer" || fail "$reader does not read what $writer wrote"
  done
done
for n in $(seq "$members"); do
  curl --silent --fail "http://127.0.0.1:$(port "$n")/health" | grep -q true ||
    fail "port $(port "$n") is not published"
done

first=$(leader "${names[@]}") || fail 'no leader'
say "killing the leader, $first"
docker kill "$(container "$first")" >/dev/null
rest=()
for name in "${names[@]}"; do if [ "$name" != "$first" ]; then rest+=("$name"); fi; done
for name in "${rest[@]}"; do
  eventually kv "$name" put "after/$name" "$name" || fail "cannot write through $name"
  reads "$name" "from/$first" "$first" || fail "$name lost what $first wrote"
done
second=$(leader "${rest[@]}") || fail 'no new leader'
echo "the new leader is $second"

say "starting $first again"
docker start "$(docker ps --all --quiet --filter "name=quorate-try.$first")" >/dev/null
eventually reads "$first" "after/$second" "$second" || fail "$first does not catch up"

say 'stopping all in order, and starting again with the same volumes'
started=$SECONDS
"${compose[@]}" stop
stopped=$((SECONDS - started))
for name in "${names[@]}"; do
  id=$(docker ps --all --quiet --filter "name=quorate-try.$name")
  code=$(docker inspect --format '{{.State.ExitCode}}' "$id")
  [ "$code" = 0 ] || fail "$name ended with code $code after SIGTERM"
done
echo "all ended with code 0 within $stopped s"
"${compose[@]}" up --detach --no-build
for name in "${names[@]}"; do
  eventually reads "$name" "after/$second" "$second" || fail "$name lost data in the restart"
done

say 'everything works'
