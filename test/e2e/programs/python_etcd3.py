"""What programs with python3-etcd3 do, for python-etcd3.test.ts, which kills the leader meanwhile.

    python_etcd3.py ADDRESSES TASK

ADDRESSES are `host:port` of all members, with commas. The tasks of TASKS that can be disturbed say
a word on a line when they have done enough, and then wait for a line. The last line is a report as
JSON. A task that finds something wrong ends with a traceback.
"""
import json
import sys
import threading
import time

import etcd3
import grpc

FAILURES = (
    etcd3.exceptions.ConnectionFailedError,
    etcd3.exceptions.ConnectionTimeoutError,
    etcd3.exceptions.InternalServerError,
    grpc.RpcError,
)
CALL_TIMEOUT_SECONDS = 2
THREADS = 3


def connect(addresses):
    """The package knows of one address; gRPC takes several, and goes to another when one fails."""
    host, port = ("ipv4:" + addresses).rsplit(":", 1)
    options = [("grpc.max_reconnect_backoff_ms", 500), ("grpc.use_local_subchannel_pool", 1)]
    return etcd3.client(host=host, port=port, timeout=CALL_TIMEOUT_SECONDS, grpc_options=options)


def rotated(addresses, count):
    """The same addresses, each time with another first."""
    parts = addresses.split(",")
    turns = [parts[i % len(parts):] + parts[: i % len(parts)] for i in range(count)]
    return [",".join(turn) for turn in turns]


def pause(word):
    print(word, flush=True)
    sys.stdin.readline()


def until(is_so):
    while not is_so():
        time.sleep(0.02)


def insist(call):
    """Repeats what may be repeated until it is answered."""
    while True:
        try:
            return call()
        except FAILURES:
            time.sleep(0.05)


def revoke(lease):
    def once():
        try:
            lease.revoke()
        except grpc.RpcError as error:
            # Of one before, whose answer was lost.
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise

    insist(once)


class Work:
    """Threads that repeat a step until they are told to stop. What a step raises is kept."""

    def __init__(self, step, clients):
        self.done = []
        self.wrong = []
        self.goes_on = True
        self.threads = [
            threading.Thread(target=self.run, args=(step, client, number), daemon=True)
            for number, client in enumerate(clients)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, step, client, number):
        turn = 0
        while self.goes_on and not self.wrong:
            try:
                step(self, client, number, turn)
            except FAILURES:
                time.sleep(0.05)
            except Exception as error:  # pylint: disable=broad-except
                self.wrong.append(error)
            turn += 1

    def more(self, count):
        enough = len(self.done) + count
        until(lambda: len(self.done) >= enough or self.wrong)
        if self.wrong:
            raise self.wrong[0]

    def through_a_kill(self, count):
        self.more(count)
        pause("working")
        self.more(count)
        pause("recovered")
        self.more(count)
        self.goes_on = False
        for thread in self.threads:
            thread.join()
        if self.wrong:
            raise self.wrong[0]


def crud(addresses):
    client = connect(addresses)
    client.put("crud/a", "1")
    response = client.put("crud/b", "2")
    value, metadata = client.get("crud/b")
    assert value == b"2" and metadata.mod_revision == response.header.revision, value
    assert client.get("crud/none") == (None, None)
    found = [(kv.key, value) for value, kv in client.get_prefix("crud/", sort_order="descend")]
    assert found == [(b"crud/b", b"2"), (b"crud/a", b"1")], found
    assert not client.put_if_not_exists("crud/a", "3")
    assert client.replace("crud/a", "1", "3")
    assert not client.replace("crud/a", "1", "4")
    succeeded, responses = client.transaction(
        compare=[
            client.transactions.value("crud/a") == "3",
            client.transactions.version("crud/a") > 1,
            client.transactions.create("crud/none") == 0,
        ],
        success=[
            client.transactions.put("crud/c", "5"),
            client.transactions.get("crud/a"),
            client.transactions.delete("crud/b"),
        ],
        failure=[client.transactions.get("crud/none")],
    )
    assert succeeded and responses[1][0][0] == b"3", responses
    succeeded, responses = client.transaction(
        compare=[client.transactions.mod("crud/a") < 1],
        success=[],
        failure=[client.transactions.get("crud/c")],
    )
    assert not succeeded and responses[0][0][0] == b"5", responses
    assert client.delete("crud/c") and not client.delete("crud/c")
    assert client.delete_prefix("crud/").deleted == 1
    assert len(list(client.members)) == len(addresses.split(","))
    assert client.status().leader.id in {member.id for member in client.members}
    return {}


def watch(addresses):
    """Writes, and watches; a watch that ends is begun again after what it told last."""
    client = connect(addresses)
    state = {"next": insist(lambda: client.put("first", "")).header.revision + 1}
    told = []

    def watching():
        while True:
            try:
                events, _ = client.watch_prefix("w/", start_revision=state["next"])
                for event in events:
                    told.append([event.key.decode(), event.mod_revision])
                    state["next"] = event.mod_revision + 1
            except (etcd3.exceptions.WatchTimedOut, *FAILURES):
                time.sleep(0.05)

    threading.Thread(target=watching, daemon=True).start()

    def step(work, mine, number, turn):
        key = "w/%d/%d" % (number, turn)
        response = mine.put(key, "value of " + key)
        work.done.append([key, response.header.revision])

    work = Work(step, [connect(each) for each in rotated(addresses, THREADS)])
    work.through_a_kill(30)
    last = insist(lambda: client.put("w/last", "")).header.revision
    until(lambda: told and told[-1][1] == last)
    values = insist(lambda: list(client.get_prefix("w/")))
    kept = {kv.key.decode(): kv.mod_revision for _, kv in values}
    return {"acknowledged": work.done, "told": told, "kept": kept}


def lease(addresses):
    """One lease that is kept alive, and one that is not."""
    client = connect(addresses)
    ttl_seconds = 3
    kept = client.lease(ttl_seconds)
    client.put("lease/kept", "", lease=kept)
    left = client.lease(ttl_seconds)
    client.put("lease/left", "", lease=left)
    assert kept.granted_ttl == ttl_seconds and list(kept.keys) == [b"lease/kept"]

    def step(work, mine, _number, _turn):
        answers = list(mine.refresh_lease(kept.id))
        assert answers[0].TTL == ttl_seconds, answers
        work.done.append(time.monotonic())
        time.sleep(0.5)

    work = Work(step, [connect(each) for each in rotated(addresses, 1)])
    work.through_a_kill(2 * ttl_seconds)
    until(lambda: insist(lambda: client.get("lease/left"))[0] is None)
    assert insist(lambda: client.get("lease/kept"))[0] is not None
    revoke(kept)
    assert insist(lambda: client.get("lease/kept"))[0] is None
    assert insist(lambda: list(client.refresh_lease(kept.id)))[0].TTL == 0
    return {}


def is_acquired(held):
    try:
        return held.acquire(timeout=0)
    except TypeError:
        # How a lock that is taken is told where tenacity is newer than 4: it has another `wait`.
        return False


def lock(addresses):
    """Counts under the package's lock: one after the other, and nobody twice the same."""
    holders = []

    def step(work, client, number, _turn):
        held = client.lock("counter", ttl=3)
        if not is_acquired(held):
            return
        try:
            holders.append(number)
            assert holders == [number], holders
            value = int(insist(lambda: client.get("lock/value"))[0] or 0) + 1
            assert held.is_acquired()
            client.put("lock/value", str(value))
            work.done.append(value)
        finally:
            holders.remove(number)
            insist(held.release)

    work = Work(step, [connect(each) for each in rotated(addresses, THREADS)])
    work.through_a_kill(6)
    last = int(insist(lambda: connect(addresses).get("lock/value"))[0])
    return {"steps": work.done, "last": last}


def election(addresses):
    """The election of many programs: who puts the key leads, the others wait for its end."""
    leading = []

    def step(work, client, number, turn):
        term = client.lease(3)
        value = "%d/%d" % (number, turn)
        if not client.put_if_not_exists("election/leader", value, lease=term):
            term.revoke()
            try:
                client.watch_once("election/leader", timeout=0.5)
            except (etcd3.exceptions.WatchTimedOut, AttributeError):
                # A stream that fails is given out as if it were an answer, which it is not.
                pass
            return
        leading.append(number)
        assert leading == [number], leading
        assert insist(lambda: client.get("election/leader"))[0].decode() == value
        assert insist(term.refresh)[0].TTL == 3
        work.done.append(value)
        leading.remove(number)
        revoke(term)

    work = Work(step, [connect(each) for each in rotated(addresses, THREADS)])
    work.through_a_kill(5)
    return {"leaders": work.done}


TASKS = {"crud": crud, "watch": watch, "lease": lease, "lock": lock, "election": election}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[2]](sys.argv[1])), flush=True)
