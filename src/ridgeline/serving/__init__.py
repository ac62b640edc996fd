"""What steps add up to for a user and for a budget: speed, throughput, cost per token, balance points."""

from ridgeline.serving.balance import Balance, balance
from ridgeline.serving.number import Given, Number, Numbers
from ridgeline.serving.numbers import number_names
from ridgeline.serving.point import Evaluator, Point, as_time, point
from ridgeline.serving.request import Serving, serve

__all__ = [
    "Balance",
    "Evaluator",
    "Given",
    "Number",
    "Numbers",
    "Point",
    "Serving",
    "as_time",
    "balance",
    "number_names",
    "point",
    "serve",
]
