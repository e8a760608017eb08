"""What each of several switches does to a measure, from all combinations of them.

Steps in one order tell a story that depends on the order; Shapley's values (the mean over all
orders) do not, and second differences show which switches need another.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

Logs = dict[tuple[bool, ...], float]  # log2 of a measure, by what is switched on


def in_order(logs: Logs) -> np.ndarray:
    """What each switch adds when they are switched on one after the other."""
    count = len(next(iter(logs)))
    steps = [logs[tuple(j < i for j in range(count))] for i in range(count + 1)]
    return np.diff(steps)


def alone(logs: Logs) -> np.ndarray:
    """What each switch adds to nothing."""
    count = len(next(iter(logs)))
    nothing = logs[(False,) * count]
    return np.array([logs[tuple(j == i for j in range(count))] - nothing for i in range(count)])


def last(logs: Logs) -> np.ndarray:
    """What each switch adds to all others."""
    count = len(next(iter(logs)))
    every = logs[(True,) * count]
    return np.array([every - logs[tuple(j != i for j in range(count))] for i in range(count)])


def spans(logs: Logs) -> np.ndarray:
    """Least and most that each switch adds, [switch, 2], over all settings of the others."""
    count = len(next(iter(logs)))
    steps = [
        [logs[on] - logs[(*on[:i], False, *on[i + 1 :])] for on in logs if on[i]]
        for i in range(count)
    ]
    return np.array([(min(step), max(step)) for step in steps])


def shapley(logs: Logs) -> np.ndarray:
    """Mean of what each switch adds, over all orders of switching (Shapley, 1953)."""
    count = len(next(iter(logs)))
    values = np.zeros(count)
    for on, value in logs.items():
        size = sum(on)
        for i in range(count):
            others = size - on[i]
            weight = math.factorial(others) * math.factorial(count - 1 - others)
            values[i] += (1 if on[i] else -1) * value * weight / math.factorial(count)
    return values


def interactions(logs: Logs) -> np.ndarray:
    """Mean second difference of each pair: above 0 the two together add more than apart."""
    count = len(next(iter(logs)))
    pairs = np.zeros((count, count))
    for i, j in itertools.combinations(range(count), 2):
        signs = [(1 if on[i] == on[j] else -1) * value for on, value in logs.items()]
        pairs[i, j] = pairs[j, i] = sum(signs) / 2 ** (count - 2)
    return pairs
