"""What each key must look like, given what was written and what was answered: the checker's half of the load.

A model is told of each write when it begins and of its outcome: acknowledged, refused (it certainly did not happen), or unknown (it may
happen at any time from its beginning on, or never). A read is judged by what was known when it began. Times are any clock's, as long as
it is one. Models answer what is wrong as a sentence, or None; every check is of constant cost, so whole runs are checked while they run.

- `Register`: one writer, values 1, 2, 3, …, each on the condition that the number grows.
- `Counter`: any number of writers ADD 1 and are answered the sum.
- `Chain`: any number of writers replace the value that they read, on the condition that it is still there.
- `Plain`: any number of writers put and delete without conditions; every value is put once.

All are necessary conditions of linearizability: what they find is wrong for certain. Whether there is more, the simulation looks for.
"""

import threading

NEVER = float("inf")
BEFORE_ALL = float("-inf")


class Model:
    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()
        self.mark, self.first_ack = NEVER, None

    def note(self, begin, now):
        """An acknowledged write; the first one that began after the mark is remembered."""
        if begin >= self.mark and self.first_ack is None:
            self.first_ack = now

    def wrong(self, text):
        return f"{self.name}: {text}"


class Register(Model):
    def __init__(self, name):
        super().__init__(name)
        self.begun = self.acked_value = 0
        self.refusals = set()

    def begin(self, now):
        self.begun += 1
        return self.begun

    def acked(self, value, begin, now):
        self.acked_value = max(self.acked_value, value)
        self.note(begin, now)

    def refused(self, value):
        self.refusals.add(value)

    def condition_failed(self, value):
        """Nobody else writes the key, and no request may take effect twice."""
        return self.wrong(f"{value} was refused by its condition, last acknowledged {self.acked_value}")

    def look(self, now):
        return self.acked_value

    def judge(self, value, floor):
        value = value or 0
        if value < floor:
            return self.wrong(f"read {value}, but {floor} was acknowledged before")
        if value > self.begun:
            return self.wrong(f"read {value}, which nobody wrote (last begun {self.begun})")
        if value in self.refusals:
            return self.wrong(f"read {value}, whose write was refused")
        return None


class Counter(Model):
    def __init__(self, name):
        super().__init__(name)
        self.begun = self.count = self.seen = 0
        self.sums = set()

    def begin(self, now):
        """Answers what the sum was at least before."""
        with self.lock:
            self.begun += 1
            return max(self.count, self.seen)

    def acked(self, floor, total, begin, now):
        with self.lock:
            self.count += 1
            self.seen = max(self.seen, total)
            self.note(begin, now)
            if total in self.sums:
                return self.wrong(f"two ADDs were both answered {total}")
            self.sums.add(total)
            if total <= floor:
                return self.wrong(f"an ADD was answered {total}, but the sum was {floor} before it began")
            if total > self.begun:
                return self.wrong(f"an ADD was answered {total}, but only {self.begun} were ever begun: one took effect twice")
            return None

    def refused(self):
        with self.lock:
            self.begun -= 1

    def look(self, now):
        with self.lock:
            return max(self.count, self.seen)

    def judge(self, value, floor):
        value = value or 0
        with self.lock:
            if value < floor:
                return self.wrong(f"read the sum {value}, but it was {floor} before")
            if value > self.begun:
                return self.wrong(f"read the sum {value}, but only {self.begun} ADDs were ever begun")
            self.seen = max(self.seen, value)
            return None


class Chain(Model):
    """Each value has the one it replaced as its parent: what took effect is one line, and it never goes back."""

    def __init__(self, name):
        super().__init__(name)
        self.last = 0
        self.depth = {0: 0}
        self.heirs, self.tried = {}, {}
        self.refusals = set()
        self.deepest = 0

    def begin(self, old):
        """Answers a value that nobody has written yet."""
        with self.lock:
            self.last += 1
            self.depth[self.last] = self.depth[old] + 1
            self.tried[old] = self.tried.get(old, 0) + 1
            return self.last

    def acked(self, old, value, begin, now):
        with self.lock:
            self.note(begin, now)
            self.deepest = max(self.deepest, self.depth[value])
            other = self.heirs.setdefault(old, value)
            return self.wrong(f"{other} and {value} both replaced {old}: one of them is lost") if other != value else None

    def refused(self, old, value):
        with self.lock:
            self.refusals.add(value)
            self.tried[old] -= 1

    def condition_failed(self, old, value):
        """`old` was read, so it was there: only another writer's value can have replaced it."""
        with self.lock:
            self.refusals.add(value)
            self.tried[old] -= 1
            if self.tried[old] == 0 and old not in self.heirs:
                return self.wrong(f"{value} found {old} replaced, but nobody tried to")
            return None

    def look(self, now):
        with self.lock:
            return self.deepest

    def judge(self, value, floor):
        value = value or 0
        with self.lock:
            if value not in self.depth:
                return self.wrong(f"read {value}, which nobody wrote")
            if value in self.refusals:
                return self.wrong(f"read {value}, whose write was refused")
            if self.depth[value] < floor:
                return self.wrong(f"read {value}, the {self.depth[value]}. of its line, but the {floor}. was there before")
            self.deepest = max(self.deepest, self.depth[value])
            return None


class Plain(Model):
    """A value is stale once a write that was acknowledged before the read began had begun after the value's own write had ended."""

    DELETED = 0

    def __init__(self, name):
        super().__init__(name)
        self.last = 0
        #: When the write of each value ended; deletes (and the beginning) count as one value, which the latest of them keeps fresh.
        self.ended = {self.DELETED: BEFORE_ALL}
        self.open_deletes = 0
        self.newest_begin = BEFORE_ALL
        self.refusals = set()

    def begin(self, now, delete=False):
        with self.lock:
            if delete:
                self.open_deletes += 1
                return self.DELETED
            self.last += 1
            self.ended[self.last] = NEVER
            return self.last

    def acked(self, value, begin, now):
        with self.lock:
            self.note(begin, now)
            self.newest_begin = max(self.newest_begin, begin)
            if value == self.DELETED:
                self.open_deletes -= 1
                self.ended[value] = max(self.ended[value], now)
            else:
                self.ended[value] = now

    def refused(self, value):
        with self.lock:
            if value == self.DELETED:
                self.open_deletes -= 1
            else:
                self.refusals.add(value)

    def look(self, now):
        with self.lock:
            return self.newest_begin

    def judge(self, value, floor):
        value = value or self.DELETED
        with self.lock:
            if value not in self.ended:
                return self.wrong(f"read {value}, which nobody wrote")
            if value in self.refusals:
                return self.wrong(f"read {value}, whose write was refused")
            if value == self.DELETED and self.open_deletes:
                return None
            if self.ended[value] < floor:
                what = "no item" if value == self.DELETED else f"{value}"
                return self.wrong(f"read {what}, but a later write was acknowledged before")
            return None
