"""In which orders a question's options are asked.

Many files write the right option first, or leave the order to whoever asks; a model that likes a
letter then gains or loses points that say nothing of the picture.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from vigorl.core.records import TaskRecord

ORDER = "order"  # the tag that numbers the orders of one question
QUESTION = "question"  # the tag that names what the orders are of


class OptionOrder(StrEnum):
    """How the options of a task are laid out."""

    AS_WRITTEN = "as_written"
    SHUFFLED = "shuffled"  # once, by a seed and the task's id
    BOTH_WAYS = "both_ways"  # as written, and reversed
    ROTATED = "rotated"  # as many times as there are options, each one step further


def in_orders(tasks: Sequence[TaskRecord], order: OptionOrder, *, seed: int) -> list[TaskRecord]:
    """The tasks with their options in another order, or once per order.

    Orders of one question have ids "ID#0", "ID#1", ..., one cluster, and the tags `ORDER` and
    `QUESTION`. A task without options, or whose options are letters that stand in its picture, is
    left as it is.

    Args:
        tasks: Ids unique.
        order: Which orders.
        seed: Of `SHUFFLED`; the order of one task does not depend on the others.
    """
    laid_out: list[TaskRecord] = []
    for task in tasks:
        is_lettered = all(map(str.__eq__, task.options, string.ascii_uppercase))
        if is_lettered or order is OptionOrder.AS_WRITTEN:
            laid_out.append(task)
        elif order is OptionOrder.SHUFFLED:
            options = list(task.options)
            random.Random(f"{seed}:{task.id}").shuffle(options)
            laid_out.append(replace(task, options=tuple(options)))
        else:
            laid_out += _orders_of(task, order)
    return laid_out


def _orders_of(task: TaskRecord, order: OptionOrder) -> list[TaskRecord]:
    options = task.options
    if order is OptionOrder.BOTH_WAYS:
        orders = [options, options[::-1]]
    else:
        orders = [options[i:] + options[:i] for i in range(len(options))]
    return [
        replace(
            task,
            id=f"{task.id}#{number}",
            options=one,
            cluster=task.cluster or task.id,
            tags={**task.tags, ORDER: str(number), QUESTION: task.id},
        )
        for number, one in enumerate(orders)
    ]
