"""Marks of parts, watched by a meter that is set by hand."""

from collections.abc import Iterator

import pytest

from dubbench.models.parts import Watch, part


class Meter:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def work(self, amount: float) -> None:
        self.now += amount


def test_time_goes_to_the_innermost_part_and_what_is_left_to_none() -> None:
    meter = Meter()
    with Watch(meter) as watch:
        meter.work(1)
        for _ in range(2):
            with part("outer"):
                meter.work(10)
                with part("inner"):
                    meter.work(100)
                meter.work(20)
        meter.work(2)
    meter.work(1000)
    assert list(watch.spent.items()) == [("outer", 60.0), ("inner", 200.0)]
    assert watch.total == 263


def test_a_consumer_between_two_frames_is_in_no_part() -> None:
    meter = Meter()

    def frames() -> Iterator[int]:
        for number in range(3):
            with part("draw"):
                meter.work(5)
            yield number

    with Watch(meter) as watch:
        for _ in frames():
            meter.work(7)
    assert (watch.spent, watch.total) == ({"draw": 15.0}, 36)


def test_an_error_ends_its_part() -> None:
    meter = Meter()

    def fail() -> None:
        with part("fails"):
            meter.work(3)
            raise KeyError

    with Watch(meter) as watch:
        with pytest.raises(KeyError):
            fail()
        meter.work(4)
        assert watch.current == ""
    assert (watch.spent, watch.total) == ({"fails": 3.0}, 7)


def test_without_a_watch_the_meter_of_the_last_one_rests() -> None:
    meter = Meter()
    with Watch(meter) as watch:
        meter.work(1)
    with part("later"):
        meter.work(1)
    assert (watch.spent, watch.total) == ({}, 1)
