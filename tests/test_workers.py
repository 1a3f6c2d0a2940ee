import time
from functools import partial

import pytest

from data_prep.workers import AHEAD, map_in_processes


def add(base, number):
    if number == 3:
        time.sleep(0.2)  # a later one is ready before
    return base + number


def test_results_come_in_order_by_any_number_of_processes():
    for workers in (1, 2):
        assert list(map_in_processes(partial(add, 100), range(20), workers)) == list(range(100, 120))


def test_only_a_few_items_are_under_way():
    taken = []
    items = (taken.append(number) or number for number in range(1000))
    results = map_in_processes(partial(add, 0), items, 2)
    assert [next(results) for _ in range(5)] == list(range(5))
    assert len(taken) < 5 + 2 * AHEAD
    results.close()
    assert len(taken) < 5 + 2 * AHEAD


def test_what_the_work_raises_is_raised():
    with pytest.raises(TypeError):
        list(map_in_processes(partial(add, "x"), [1, 2], 2))
