"""The checker itself, on histories that are right and on ones that are known to be wrong: a checker that finds nothing proves nothing."""

from harness.models import Chain, Counter, Plain, Register


def test_a_register_finds_lost_stale_and_invented_values():
    key = Register("key")
    for value in (1, 2, 3):
        assert key.begin(value) == value
    key.acked(1, 0, 1)
    key.acked(2, 1, 2)
    floor = key.look(2)
    assert key.judge(2, floor) is None
    assert key.judge(3, floor) is None, "the outcome of 3 is unknown: it may be there"
    assert "acknowledged before" in key.judge(1, floor) and "acknowledged before" in key.judge(None, floor)
    assert "nobody wrote" in key.judge(4, floor)
    key.refused(3)
    assert "was refused" in key.judge(3, floor)
    assert "by its condition" in key.condition_failed(3)


def test_a_read_that_began_before_an_acknowledgement_may_miss_it():
    key = Register("key")
    key.begin(0)
    floor = key.look(1)
    key.acked(1, 0, 2)
    assert key.judge(None, floor) is None


def test_a_counter_finds_lost_and_doubled_additions():
    counter = Counter("counter")
    assert counter.acked(counter.begin(0), 1, 0, 1) is None
    one, two = counter.begin(1), counter.begin(1)
    assert counter.acked(one, 3, 1, 2) is None, "the other was first"
    assert "both answered 3" in counter.acked(two, 3, 1, 2)
    assert counter.judge(3, counter.look(2)) is None
    assert "it was 3 before" in counter.judge(2, counter.look(2))
    assert "ever begun" in counter.judge(4, counter.look(2))

    doubled = Counter("doubled")
    assert "took effect twice" in doubled.acked(doubled.begin(0), 2, 0, 1)
    lost = Counter("lost")
    assert lost.acked(lost.begin(0), 1, 0, 1) is None
    assert "but the sum was 1 before" in lost.acked(lost.begin(1), 0, 1, 2)


def test_an_addition_of_unknown_outcome_stays_open():
    counter = Counter("counter")
    counter.begin(0)
    floor = counter.look(1)
    assert counter.judge(0, floor) is None and counter.judge(1, floor) is None
    assert "it was 1 before" in counter.judge(0, counter.look(2)), "what was seen once stays"


def test_a_refused_addition_must_not_show():
    counter = Counter("counter")
    counter.begin(0)
    counter.refused()
    assert "ever begun" in counter.judge(1, counter.look(1))


def test_a_chain_finds_lost_updates_and_steps_back():
    chain = Chain("chain")
    a, b = chain.begin(0), chain.begin(0)
    assert chain.acked(0, a, 0, 1) is None
    assert "both replaced 0" in chain.acked(0, b, 0, 1)

    chain = Chain("chain")
    a = chain.begin(0)
    assert chain.acked(0, a, 0, 1) is None
    b = chain.begin(a)
    assert chain.judge(b, chain.look(1)) is None, "its outcome is unknown: it may be there"
    assert "was there before" in chain.judge(a, chain.look(2)), "and was seen, so it stays"
    assert "was there before" in chain.judge(None, chain.look(2))
    assert "nobody wrote" in chain.judge(9, chain.look(2))


def test_a_condition_fails_only_if_somebody_else_was_there():
    chain = Chain("chain")
    a, b = chain.begin(0), chain.begin(0)
    assert chain.condition_failed(0, a) is None, "b may have been there"
    assert "was refused" in chain.judge(a, 0)
    assert "nobody tried to" in chain.condition_failed(0, b)


def test_plain_writes_find_stale_reads():
    key = Plain("key")
    one = key.begin(0)
    key.acked(one, 0, 1)
    two = key.begin(2)
    assert key.judge(one, key.look(3)) is None and key.judge(two, key.look(3)) is None
    key.acked(two, 2, 4)
    assert "later write was acknowledged" in key.judge(one, key.look(5))
    assert "read no item" in key.judge(None, key.look(5))
    assert key.judge(two, key.look(5)) is None
    assert "nobody wrote" in key.judge(7, key.look(5))

    # Two that overlap may be in either order; one of unknown outcome may come at any later time.
    three, four = key.begin(6), key.begin(6)
    key.acked(three, 6, 7)
    assert key.judge(three, key.look(8)) is None and key.judge(four, key.look(8)) is None


def test_a_delete_may_have_happened_or_not_while_its_outcome_is_open():
    key = Plain("key")
    one = key.begin(0)
    key.acked(one, 0, 1)
    gone = key.begin(2, delete=True)
    assert key.judge(None, key.look(3)) is None and key.judge(one, key.look(3)) is None
    key.acked(gone, 2, 4)
    assert key.judge(None, key.look(5)) is None
    assert "later write was acknowledged" in key.judge(one, key.look(5))
    two = key.begin(6)
    key.acked(two, 6, 7)
    assert "read no item" in key.judge(None, key.look(8))
