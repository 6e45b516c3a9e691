"""The breaker, on a clock of our own."""

from __future__ import annotations

import pytest

from core.errors import TradekeepError
from core.resilience import LOGIN_TYPES, Breaker

REFUSED = TradekeepError("service.refused", host="h", port=1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_breaker_opens_lets_one_try_and_closes() -> None:
    clock = Clock()
    breaker = Breaker(failures=2, wait_s=1, clock=clock)
    breaker.failed(REFUSED)
    breaker.check()
    breaker.failed(REFUSED)
    assert breaker.state == "open"
    with pytest.raises(TradekeepError) as caught:
        breaker.check()
    assert caught.value.retry_after == 1.0
    clock.now = 1.1
    assert breaker.state == "half open"
    breaker.check()  # this one may try
    with pytest.raises(TradekeepError):
        breaker.check()  # the others may not
    breaker.failed(REFUSED)
    clock.now = 2.9
    assert breaker.state == "open"  # the pause has doubled
    clock.now = 3.2
    breaker.check()
    breaker.succeeded()
    assert breaker.state == "closed"
    breaker.check()


def test_errors_of_the_data_never_open_the_breaker() -> None:
    breaker = Breaker(failures=1)
    breaker.failed(TradekeepError("config.no_database"))
    breaker.check()
    assert breaker.state == "closed"


def test_only_errors_of_its_types_open_a_breaker() -> None:
    server, login = Breaker(failures=1), Breaker(types=LOGIN_TYPES, failures=1)
    for breaker in (server, login):
        breaker.failed(TradekeepError("auth.password"))
    assert (server.state, login.state) == ("closed", "open")


def test_a_tripped_breaker_stays_open_for_its_time_and_no_failure_shortens_it() -> None:
    clock = Clock()
    breaker = Breaker(failures=2, wait_s=1, clock=clock)
    breaker.trip(REFUSED, 10)
    assert breaker.state == "open"
    breaker.failed(REFUSED)
    clock.now = 9.9
    refusal = breaker.refusal()
    assert refusal is not None
    assert refusal.kind == "service.refused"
    with pytest.raises(TradekeepError):
        breaker.check()
    breaker.succeeded()
    assert breaker.refusal() is None
    breaker.trip(TradekeepError("config.no_database"), 10)
    breaker.check()


def test_refusals_share_neither_error_nor_trace() -> None:
    breaker, error = Breaker(failures=1), TradekeepError("service.refused")
    breaker.failed(error)
    with pytest.raises(TradekeepError) as caught:
        breaker.check()
    assert caught.value is not breaker.refusal()
    assert error.__traceback__ is None
