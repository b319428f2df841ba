"""Load with a checker that remembers every acknowledged write.

Each key has one writer, which writes 1, 2, 3, … on the condition that the number grows, so that a write whose answer was lost and
that takes effect late is no backward step. Any worker reads any key, strongly. For every read and at the end:

- the value is at least the last one acknowledged before the read began, else an acknowledged write was lost or a read was stale;
- it is one whose write had begun, and not one that was refused;
- a write is never refused by its own condition: nobody else writes the key, and no request may take effect twice.
"""

import http.client
import random
import threading
import time

from .client import Bare, Refused
from .wait import eventually

#: Shorter than a node's own deadline: a client that gives up leaves an unknown outcome behind.
CLIENT_SECONDS = 4
PAUSE_AFTER_ERROR = 0.02


class Key:
    """What is known of one key."""

    def __init__(self, name):
        self.name = name
        self.begun = self.acked = 0
        self.refused = set()
        self.mark, self.first_ack = float("inf"), None

    def note(self, begin, now):
        """An acknowledged write; the first one that began after the mark is remembered."""
        if begin >= self.mark and self.first_ack is None:
            self.first_ack = now

    def judge(self, value, floor):
        """What is wrong with a value that a read answered, if anything; `floor` was acknowledged before the read began."""
        value = value or 0
        if value < floor:
            return f"{self.name}: read {value}, but {floor} was acknowledged before"
        if value > self.begun:
            return f"{self.name}: read {value}, which nobody wrote (last begun {self.begun})"
        if value in self.refused:
            return f"{self.name}: read {value}, whose write was refused"
        return None


class Load:
    def __init__(self, urls, table, workers=8, keys_each=8, payload_bytes=300, enter=None, seed=1):
        self.urls, self.table, self.enter = urls, table, enter
        self.payload = {"pad": {"S": "x" * payload_bytes}}
        self.keys = [Key(f"key-{worker}-{n}") for worker in range(workers) for n in range(keys_each)]
        self.owned = [self.keys[worker * keys_each : (worker + 1) * keys_each] for worker in range(workers)]
        self.counts = dict.fromkeys(("acked", "unknown", "refused", "reads", "failed reads"), 0)
        self.errors, self.violations = {}, []
        self.longest_gap, self.last_ack = 0.0, None
        self.seed = seed
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

    def waits_for_acks(self, number=50, seconds=30):
        """Waits until so many more writes were acknowledged; answers the seconds."""
        begin, before = time.monotonic(), self.counts["acked"]
        eventually(f"{number} more writes, {self.errors}", lambda: self.counts["acked"] >= before + number or self.wrong.is_set(), seconds, every=0.01)
        self.check()
        return time.monotonic() - begin

    def first_write_to_every_key(self, seconds=30):
        """Answers after how many seconds from now every key has seen a write begin and be acknowledged."""
        since = time.monotonic()
        for key in self.keys:
            key.first_ack, key.mark = None, since
        eventually(
            f"a write to every key, {self.errors}", lambda: self.wrong.is_set() or all(key.first_ack for key in self.keys), seconds, every=0.005
        )
        self.check()
        return max(key.first_ack for key in self.keys) - since

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(3 * CLIENT_SECONDS)
            assert not thread.is_alive(), "a client hangs"
        self.check()

    def check(self):
        assert not self.violations, f"seed {self.seed}: " + "; ".join(self.violations[:5])

    # The workers

    def _guard(self, number):
        try:
            self._work(number)
        except BaseException as error:  # noqa: BLE001 - a worker that dies silently would be a checker that checks nothing
            self._violated(f"worker {number} died: {error!r}")

    def _work(self, number):
        if self.enter:
            self.enter()
        chance = random.Random(f"{self.seed} {number}")
        at = number
        client = Bare(self.urls[at % len(self.urls)], CLIENT_SECONDS)
        while not self.stopping.is_set():
            if chance.random() < 0.7:
                fine = self._write(client, chance.choice(self.owned[number]))
            else:
                fine = self._read(client, chance.choice(self.keys))
            if not fine:
                client.close()
                at += 1
                client = Bare(self.urls[at % len(self.urls)], CLIENT_SECONDS)
                self.stopping.wait(PAUSE_AFTER_ERROR)
        client.close()

    def _write(self, client, key):
        key.begun += 1
        value, begin = key.begun, time.monotonic()
        try:
            client.call(
                "PutItem",
                TableName=self.table,
                Item={"id": {"S": key.name}, "v": {"N": str(value)}, **self.payload},
                ConditionExpression="attribute_not_exists(id) OR v < :v",
                ExpressionAttributeValues={":v": {"N": str(value)}},
            )
        except Refused as error:
            if error.name == "ConditionalCheckFailedException":
                self._violated(f"{key.name}: {value} was refused by its condition, last acknowledged {key.acked}")
            elif error.status == 400 and error.name != "ThrottlingException":
                self._violated(f"{key.name}: {value} was refused with {error}")
            elif error.outcome_is_known:
                key.refused.add(value)
                self._count("refused", error)
            else:
                self._count("unknown", error)
            return False
        except (OSError, http.client.HTTPException) as error:
            self._count("unknown", error)
            return False
        self._acked(key, value, begin)
        return True

    def _acked(self, key, value, begin):
        now = time.monotonic()
        key.acked = value
        key.note(begin, now)
        with self.lock:
            self.counts["acked"] += 1
            self.longest_gap = max(self.longest_gap, now - self.last_ack)
            self.last_ack = now

    def _read(self, client, key):
        floor = key.acked
        try:
            value = client.get(self.table, key.name)
        except (Refused, OSError, http.client.HTTPException) as error:
            self._count("failed reads", error)
            return False
        wrong = key.judge(value, floor)
        if wrong:
            self._violated(f"{wrong} (through {client.address})")
        self.counts["reads"] += 1
        return True

    def _count(self, what, error):
        name = error.name or str(error.status) if isinstance(error, Refused) else type(error).__name__
        with self.lock:
            self.counts[what] += 1
            self.errors[name] = self.errors.get(name, 0) + 1

    def _violated(self, text):
        with self.lock:
            self.violations.append(text)
        self.wrong.set()

    # Afterwards

    def lost(self, url=None, seconds=30):
        """Reads every key strongly, and answers what is wrong with each that is wrong."""
        client, wrong = Bare(url or self.urls[0], CLIENT_SECONDS), []
        for key in self.keys:
            floor, answer = key.acked, []

            def read(key=key, answer=answer):
                try:
                    answer.append(client.get(self.table, key.name))
                except (Refused, OSError, http.client.HTTPException):
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
