"""Transactions on three real nodes: money that is moved about is neither made nor lost, whoever is killed meanwhile.

Each transfer takes from one account and gives to another, and leaves its number in both. Readers add all accounts up, as of one moment.
"""

import http.client
import random
import threading
import time

from harness.client import Bare, Refused, create_table
from harness.wait import eventually

TABLE = "accounts"
ACCOUNTS = 12
EACH = 100
#: Times that all accounts were added up before a test goes on.
SUMS = 5
FAILURES = (Refused, OSError, http.client.HTTPException)


def key(account):
    return {"id": {"S": f"account-{account}"}}


def number(value):
    return {"N": str(value)}


def take(account, amount, transfer):
    return {
        "Update": {
            "TableName": TABLE,
            "Key": key(account),
            "UpdateExpression": "SET balance = balance + :amount ADD transfers :transfer",
            "ConditionExpression": "balance >= :least",
            "ExpressionAttributeValues": {":amount": number(amount), ":least": number(-min(amount, 0)), ":transfer": {"NS": [str(transfer)]}},
        }
    }


class Bank:
    """Clients that move money, each at a node of its own, and one that adds up; the wrong sums that it saw."""

    def __init__(self, urls, seed, clients=6):
        self.urls, self.stopping, self.lock = urls, threading.Event(), threading.Lock()
        self.next, self.done, self.unknown, self.refused, self.sums, self.wrong = 0, set(), set(), {}, 0, []
        self.threads = [threading.Thread(target=self._move, args=(n, random.Random(seed + n)), daemon=True) for n in range(clients)]
        self.threads.append(threading.Thread(target=self._add_up, args=(random.Random(seed - 1),), daemon=True))
        for thread in self.threads:
            thread.start()

    def _move(self, client, choose):
        connection, at = None, client
        while not self.stopping.is_set():
            with self.lock:
                self.next += 1
                transfer = self.next
            giver, taker = choose.sample(range(ACCOUNTS), 2)
            amount = choose.randint(1, 20)
            items = [take(giver, -amount, transfer), take(taker, amount, transfer)]
            token, outcome = f"transfer-{transfer}", self.unknown
            # An unknown outcome is asked for again under the same token, elsewhere.
            for _ in range(choose.randint(1, 4)):
                connection = connection or Bare(self.urls[at % len(self.urls)], 11)
                try:
                    connection.call("TransactWriteItems", TransactItems=items, ClientRequestToken=token)
                    outcome = self.done
                    break
                except Refused as refused:
                    with self.lock:
                        self.refused[refused.name] = self.refused.get(refused.name, 0) + 1
                    if refused.status == 400 and refused.name != "TransactionInProgressException" and outcome is self.unknown:
                        break
                    at += 1
                    connection.close()
                    connection = None
                except (OSError, http.client.HTTPException):
                    at += 1
                    connection.close()
                    connection = None
                    self.stopping.wait(0.05)
            with self.lock:
                outcome.add(transfer)
            # Else there is hardly a moment at which no account is part of a transfer.
            self.stopping.wait(choose.uniform(0.01, 0.04))

    def _add_up(self, choose):
        gets = [{"Get": {"TableName": TABLE, "Key": key(account)}} for account in range(ACCOUNTS)]
        while not self.stopping.is_set():
            connection = Bare(choose.choice(self.urls), 11)
            try:
                found = connection.call("TransactGetItems", TransactItems=gets)["Responses"]
            except FAILURES:
                self.stopping.wait(0.02)
            else:
                total = sum(int(one["Item"]["balance"]["N"]) for one in found)
                self.sums += 1
                if total != ACCOUNTS * EACH:
                    self.wrong.append(total)
            connection.close()

    def waits_for(self, more, seconds=60):
        transfers, sums = len(self.done) + more, self.sums + SUMS
        eventually(f"{more} more transfers and {SUMS} sums", lambda: len(self.done) >= transfers and self.sums >= sums, seconds, every=0.1)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)

    def report(self):
        return f"{len(self.done)} transfers done, {len(self.unknown)} not known or refused, {self.sums} sums; refusals {self.refused}"


def open_accounts(rides):
    create_table(rides.client(), TABLE)
    client = Bare(rides.urls()[0])
    for account in range(ACCOUNTS):
        client.call("PutItem", TableName=TABLE, Item={**key(account), "balance": number(EACH)})
    client.close()


def verify(rides, bank):
    assert not bank.wrong, f"sums of all accounts were {bank.wrong[:5]}"
    assert bank.sums >= SUMS
    client = Bare(rides.urls()[0])
    held = {}
    total = 0
    for account in range(ACCOUNTS):
        # Whatever was left half done is undone or finished by whoever meets it.
        eventually(f"account {account} can be written", lambda a=account: settled(client, a), 30, every=0.2)
        item = client.call("GetItem", TableName=TABLE, Key=key(account), ConsistentRead=True)["Item"]
        total += int(item["balance"]["N"])
        assert int(item["balance"]["N"]) >= 0
        for transfer in item.get("transfers", {"NS": []})["NS"]:
            held.setdefault(int(transfer), []).append(account)
    client.close()
    assert total == ACCOUNTS * EACH
    assert all(len(accounts) == 2 for accounts in held.values()), "a transfer is in one account alone"
    assert bank.done <= set(held), f"done, and not there: {sorted(bank.done - set(held))[:5]}"


def settled(client, account):
    try:
        client.call("UpdateItem", TableName=TABLE, Key=key(account), UpdateExpression="SET touched = :one", ExpressionAttributeValues={":one": number(1)})
    except Refused as refused:
        assert refused.name == "TransactionConflictException"
        return False
    return True


def test_money_is_neither_made_nor_lost(cluster, seed, say):
    rides = cluster()
    rides.start()
    open_accounts(rides)
    bank = Bank(rides.urls(), seed)
    bank.waits_for(150)
    bank.stop()
    verify(rides, bank)
    say(f"seed {seed}: {bank.report()}")


def test_money_survives_kills(cluster, seed, say):
    rides = cluster()
    rides.start()
    open_accounts(rides)
    bank = Bank(rides.urls(), seed)
    bank.waits_for(50)
    choose, kills, end = random.Random(seed), 0, time.monotonic() + 25
    while time.monotonic() < end:
        rides.kill_node(choose.choice(rides.names))
        kills += 1
        bank.stopping.wait(choose.uniform(2, 4))
    rides.ready(90)
    bank.waits_for(50)
    bank.stop()
    verify(rides, bank)
    say(f"seed {seed}: {kills} kills; {bank.report()}")
