"""Load with a checker that remembers every acknowledged write. No request is sent twice: what a client does not know stays open.

Workers are threads, each with one connection to one node and a random choice of its own, drawn from the seed. They write and read strongly
the keys of `models`: registers, which have one writer each, and counters, chains and plain keys, which all write. A worker whose request
failed, or whose node said that it closes the connection, goes on with the next node. The first thing that is seen to be wrong ends the run.
"""

import http.client
import random
import threading
import time

from .client import Bare, Refused
from .models import Chain, Counter, Plain, Register
from .wait import eventually

#: Shorter than a node's own deadline: a client that gives up leaves an unknown outcome behind.
CLIENT_SECONDS = 4
PAUSE_AFTER_ERROR = 0.02
FAILURES = (Refused, OSError, http.client.HTTPException)


class Load:
    def __init__(self, urls, table, workers=8, keys_each=8, shared=2, payload_bytes=300, think=0, enter=None, seed=1, names=""):
        """`think`: seconds between two requests of a worker. `names` sets the keys of one load apart from another's."""
        self.urls, self.table, self.think, self.enter, self.seed = urls, table, think, enter, seed
        self.payload = {"pad": {"S": "x" * payload_bytes}}
        self.owned = [[Register(f"{names}key-{worker}-{n}") for n in range(keys_each)] for worker in range(workers)]
        self.registers = [key for keys in self.owned for key in keys]
        self.shared = [kind(f"{names}{kind.__name__.lower()}-{n}") for kind in (Counter, Chain, Plain) for n in range(shared)]
        self.keys = self.registers + self.shared
        self.counts = dict.fromkeys(("acked", "unknown", "refused", "failed conditions", "reads", "failed reads"), 0)
        self.errors, self.violations = {}, []
        self.longest_gap, self.last_ack = 0.0, None
        self.lock, self.stopping, self.wrong = threading.Lock(), threading.Event(), threading.Event()
        self.threads = []

    # Running

    def start(self):
        self.last_ack = time.monotonic()
        self.stopping.clear()
        self.threads = [threading.Thread(target=self._guard, args=(n,), daemon=True) for n in range(len(self.owned))]
        for thread in self.threads:
            thread.start()
        return self

    def go_on(self, seconds):
        """Lets the load go on for a while; fails as soon as something wrong was seen."""
        self.wrong.wait(seconds)
        self.check()

    def waits_for_acks(self, number=50, seconds=180):
        """Waits until so many more writes were acknowledged; answers the seconds."""
        begin, before = time.monotonic(), self.counts["acked"]
        eventually(f"{number} more writes, {self.errors}", lambda: self.counts["acked"] >= before + number or self.wrong.is_set(), seconds, every=0.01)
        self.check()
        return time.monotonic() - begin

    def first_write_to_every_key(self, seconds=60):
        """Answers after how many seconds from now every register has seen a write begin and be acknowledged."""
        since = time.monotonic()
        for key in self.registers:
            key.first_ack, key.mark = None, since
        eventually(
            f"a write to every key, {self.errors}", lambda: self.wrong.is_set() or all(key.first_ack for key in self.registers), seconds, every=0.005
        )
        self.check()
        return max(key.first_ack for key in self.registers) - since

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(5 * CLIENT_SECONDS)
            assert not thread.is_alive(), "a client hangs"
        self.check()

    def check(self):
        assert not self.violations, f"seed {self.seed}: " + "; ".join(self.violations[:5])

    # The workers

    def _guard(self, number):
        try:
            if self.enter:
                self.enter()
            self._work(number)
        except BaseException as error:  # noqa: BLE001 - a worker that dies silently would be a checker that checks nothing
            self._violated(f"worker {number} died: {error!r}")

    def _work(self, number):
        chance = random.Random(f"{self.seed} {number}")
        at = number
        client = Bare(self.urls[at % len(self.urls)], CLIENT_SECONDS)
        while not self.stopping.is_set():
            dice = chance.random()
            if dice < 0.5:
                fine = self._write(client, chance.choice(self.owned[number]), chance)
            elif dice < 0.75 and self.shared:
                fine = self._write(client, chance.choice(self.shared), chance)
            else:
                fine = self._read(client, chance.choice(self.keys))[0]
            if not fine or client.was_told_to_go():
                client.close()
                at += 1
                client = Bare(self.urls[at % len(self.urls)], CLIENT_SECONDS)
            if not fine:
                self.stopping.wait(PAUSE_AFTER_ERROR)
            if self.think:
                self.stopping.wait(self.think)
        client.close()

    def _write(self, client, key, chance):
        """Answers whether the client should go on with this node."""
        if isinstance(key, Register):
            return self._write_register(client, key)
        if isinstance(key, Counter):
            return self._add(client, key)
        if isinstance(key, Chain):
            return self._replace(client, key)
        return self._put_or_delete(client, key, delete=chance.random() < 0.2)

    def _write_register(self, client, key):
        begin = time.monotonic()
        value = key.begin(begin)
        condition = {"ConditionExpression": "attribute_not_exists(id) OR v < :v", "ExpressionAttributeValues": {":v": {"N": str(value)}}}
        return self._send(
            lambda: self._put(client, key, value, **condition),
            lambda answer, now: key.acked(value, begin, now),
            lambda: key.refused(value),
            lambda: key.condition_failed(value),
        )

    def _add(self, client, key):
        begin = time.monotonic()
        floor = key.begin(begin)
        update = {
            "Key": {"id": {"S": key.name}},
            "UpdateExpression": "ADD v :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "UPDATED_NEW",
        }
        return self._send(
            lambda: client.call("UpdateItem", TableName=self.table, **update),
            lambda answer, now: key.acked(floor, int(answer["Attributes"]["v"]["N"]), begin, now),
            key.refused,
        )

    def _replace(self, client, key):
        fine, old = self._read(client, key)
        if not fine:
            return False
        begin = time.monotonic()
        value = key.begin(old)
        if old:
            condition = {"ConditionExpression": "v = :old", "ExpressionAttributeValues": {":old": {"N": str(old)}}}
        else:
            condition = {"ConditionExpression": "attribute_not_exists(id)"}
        return self._send(
            lambda: self._put(client, key, value, **condition),
            lambda answer, now: key.acked(old, value, begin, now),
            lambda: key.refused(old, value),
            lambda: key.condition_failed(old, value),
        )

    def _put_or_delete(self, client, key, delete):
        begin = time.monotonic()
        value = key.begin(begin, delete=delete)

        def send():
            if delete:
                return client.call("DeleteItem", TableName=self.table, Key={"id": {"S": key.name}})
            return self._put(client, key, value)

        return self._send(send, lambda answer, now: key.acked(value, begin, now), lambda: key.refused(value))

    def _put(self, client, key, value, **parameters):
        item = {"id": {"S": key.name}, "v": {"N": str(value)}, **self.payload}
        return client.call("PutItem", TableName=self.table, Item=item, **parameters)

    def _send(self, send, acked, refused, condition_failed=None):
        """Sends a write and tells its model the outcome."""
        try:
            answer = send()
        except Refused as error:
            if error.name == "ConditionalCheckFailedException":
                self._count("failed conditions")
                self._violated(condition_failed() if condition_failed else f"an unconditional write was answered {error}")
                return True
            if error.outcome_is_known:
                refused()
                self._count("refused", error)
                if error.status == 400 and error.name != "ThrottlingException":
                    self._violated(f"a write was refused with {error}")
            else:
                self._count("unknown", error)
            return False
        except (OSError, http.client.HTTPException) as error:
            self._count("unknown", error)
            return False
        now = time.monotonic()
        self._violated(acked(answer, now))
        with self.lock:
            self.counts["acked"] += 1
            self.longest_gap = max(self.longest_gap, now - self.last_ack)
            self.last_ack = now
        return True

    def _read(self, client, key):
        """(whether the client should go on with this node, the value or 0)."""
        floor = key.look(time.monotonic())
        try:
            value = client.get(self.table, key.name)
        except FAILURES as error:
            self._count("failed reads", error)
            return False, 0
        wrong = key.judge(value, floor)
        self._violated(wrong and f"{wrong} (through {client.address})")
        self._count("reads")
        return not wrong, value or 0

    def _count(self, what, error=None):
        with self.lock:
            self.counts[what] += 1
            if error is not None:
                name = error.name or str(error.status) if isinstance(error, Refused) else type(error).__name__
                self.errors[name] = self.errors.get(name, 0) + 1

    def _violated(self, text):
        if text:
            with self.lock:
                self.violations.append(text)
            self.wrong.set()

    # Afterwards

    def lost(self, url=None, seconds=60):
        """Reads every key strongly, and answers what is wrong with each that is wrong."""
        client, wrong = Bare(url or self.urls[0], CLIENT_SECONDS), []
        for key in self.keys:
            floor, answer = key.look(time.monotonic()), []

            def read(key=key, answer=answer):
                try:
                    answer.append(client.get(self.table, key.name))
                except FAILURES:
                    return False
                return True

            eventually(f"a strong read of {key.name}", read, seconds)
            found = key.judge(answer[0], floor)
            if found:
                wrong.append(found)
        client.close()
        return wrong

    def verify(self, urls=None):
        """Every acknowledged write is there, whichever node is asked."""
        self.check()
        for url in urls or self.urls:
            wrong = self.lost(url)
            assert not wrong, f"through {url}, seed {self.seed}: " + "; ".join(wrong[:5])
        assert self.counts["acked"] > 0, "nothing was acknowledged: the load did not run"

    def report(self):
        counts = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        return f"{counts}; errors {self.errors or 'none'}; longest without an acknowledged write {self.longest_gap:.2f} s"
