"""The figures of a range: each with its formula, what it is based on, and a reason where it means nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from core.format import count, duration, money
from core.portfolio import equity
from core.portfolio.equity import Course, Drawdown
from core.portfolio.sums import Sums

YEAR = 365  # these markets have no holidays
FEW_TRIPS, FEW_DAYS, FEW_DAYS_A_YEAR = 10, 30, 90
Unit = Literal["money", "share", "ratio", "seconds", "average"]
Basis = Literal["trades", "days"]


@dataclass(frozen=True)
class Figure:
    """One figure. value: in its unit (money in the currency, share 0.1 for 10 %, seconds), None where `why` says why.

    basis: what n counts. remark: what belongs to it, in words, for instance the days of a drawdown.
    """

    name: str
    label: str
    value: Decimal | float | None
    unit: Unit
    formula: str
    basis: Basis
    n: int
    why: str = ""
    remark: str = ""


# What needs no more than the net profit of each day.
OF_DAYS = ("net_pnl", "return", "max_drawdown", "sharpe", "sortino", "cagr", "calmar")


def figures(of: Course, currency: str) -> list[Figure]:
    """Every figure of a range, the most important first; without a round trip each says so."""
    own, days = of.sums, len(of.days)
    fall, gains = equity.deepest(of), equity.returns(of)
    made = _Figures(of, own, gains, days)
    return [
        made.trades("net_pnl", "Net P&L", own.net_pnl, "money", "sum of net profit of closed round trips", few=1),
        made.days("return", "Return", made.total(), "share", "equity at the end / equity at the begin - 1", few=1),
        made.days("max_drawdown", "Max drawdown", _fall(fall), "share" if fall and fall.share is not None else "money",
                  "lowest of (equity / highest equity before - 1), by equity at the end of each UTC day",
                  few=2, remark=_when(fall), needs_capital=False),
        made.days("sharpe", "Sharpe", sharpe(gains), "ratio",
                  f"mean / standard deviation of daily returns x sqrt({YEAR}), risk-free rate 0"),
        made.days("sortino", "Sortino", sortino(gains), "ratio",
                  f"mean of daily returns / root mean square of the negative ones, x sqrt({YEAR})"),
        made.days("cagr", "CAGR", made.cagr(), "share",
                  f"(equity at the end / at the begin) ^ ({YEAR} / days) - 1", few=FEW_DAYS_A_YEAR),
        made.days("calmar", "Calmar", made.calmar(fall), "ratio", "CAGR / max drawdown", few=FEW_DAYS_A_YEAR),
        made.trades("win_rate", "Win rate", _over(own.wins, own.valued), "share",
                    "round trips with a profit / all closed round trips",
                    remark=f"{own.wins:,} won, {own.losses:,} lost"),
        made.trades("profit_factor", "Profit factor", _over(own.profit, own.loss), "ratio",
                    "profit of the wins / loss of the losses", why="" if own.loss else "no loss"),
        made.trades("expectancy", "Expectancy", _over(own.net_pnl, own.valued), "money",
                    "net P&L / closed round trips", remark="for each round trip"),
        made.trades("payoff", "Payoff", payoff(own), "ratio", "average win / average loss",
                    why="no win" if not own.wins else "no loss" if not own.losses else ""),
        made.trades("fees", "Fees", own.commission, "money", "sum of commission of closed round trips", few=1,
                    remark=_of_gross(own, currency)),
        made.trades("hold", "Average hold", _over(own.hold_s, own.trips), "seconds",
                    "sum of (exit time - entry time) / closed round trips", few=1, remark=_holds(own)),
        made.days("exposure", "Exposure", made.exposure(), "average",
                  "sum of hold times of closed round trips / length of the range: how many were open on average",
                  few=1, needs_capital=False),
        made.trades("best", "Best trade", own.best_pnl, "money", "highest net profit of a round trip", few=1),
        made.trades("worst", "Worst trade", own.worst_pnl, "money", "lowest net profit of a round trip", few=1),
    ]  # fmt: skip


class _Figures:
    """The figures of one range, and what they have in common."""

    def __init__(self, of: Course, own: Sums, gains: list[float] | None, days: int) -> None:
        self.of, self.own, self.gains, self.number = of, own, gains, days

    def trades(
        self, name: str, label: str, value: Decimal | float | None, unit: Unit, formula: str, *,
        few: int = FEW_TRIPS, remark: str = "", why: str = "",
    ) -> Figure:  # fmt: skip
        """A figure of the round trips, none if there are fewer than `few` of them."""
        n = self.own.trips if unit == "seconds" or name == "fees" else self.own.valued
        if n < few:
            why = "no closed round trips" if not n else f"too few trades: {n} of {few}"
        return Figure(name, label, None if why else value, unit, formula, "trades", n, why, remark)

    def days(
        self, name: str, label: str, value: Decimal | float | None, unit: Unit, formula: str, *,
        few: int = FEW_DAYS, remark: str = "", needs_capital: bool = True,
    ) -> Figure:  # fmt: skip
        """A figure of the days, none if there are fewer than `few`, or no capital that earned something."""
        why = ""
        if not self.own.trips:
            why = "no closed round trips"
        elif needs_capital and self.of.capital is None:
            why = "the capital is not known"
        elif needs_capital and (self.of.capital or 0) <= 0:
            why = "no capital at the begin"
        elif needs_capital and self.gains is None:
            why = "the capital was used up"
        elif self.number < few:
            why = f"too few days: {self.number} of {few}"
        elif value is None:
            why = "no losing day" if name == "sortino" else "no change" if name == "sharpe" else "never fell"
        return Figure(name, label, None if why else value, unit, formula, "days", self.number, why, remark)

    def total(self) -> float | None:
        """The whole return."""
        capital = self.of.capital
        return float(self.of.days[-1].equity / capital - 1) if self.gains and capital else None

    def cagr(self) -> float | None:
        """The return as if it went on for a year; None for a short time, whose power no number could hold."""
        total = self.total()
        return None if total is None or self.number < FEW_DAYS_A_YEAR else (1 + total) ** (YEAR / self.number) - 1

    def calmar(self, fall: Drawdown | None) -> float | None:
        """CAGR by the deepest fall."""
        cagr = self.cagr()
        return None if cagr is None or fall is None or not fall.share else cagr / abs(fall.share)

    def exposure(self) -> float | None:
        """How many round trips were open on average."""
        return float(self.own.hold_s) / (self.number * 86_400) if self.number else None


def sharpe(gains: list[float] | None) -> float | None:
    """The Sharpe ratio of daily returns, a year's; None where they do not vary."""
    if gains is None or len(gains) < 2:
        return None
    mean = math.fsum(gains) / len(gains)
    deviation = math.sqrt(math.fsum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1))
    return mean / deviation * math.sqrt(YEAR) if deviation > 1e-15 else None


def sortino(gains: list[float] | None) -> float | None:
    """The Sortino ratio of daily returns, a year's; None without a losing day."""
    if gains is None or len(gains) < 2:
        return None
    downside = math.sqrt(math.fsum(min(gain, 0.0) ** 2 for gain in gains) / len(gains))
    return math.fsum(gains) / len(gains) / downside * math.sqrt(YEAR) if downside > 0 else None


def payoff(own: Sums) -> float | None:
    """The average win by the average loss."""
    if not own.wins or not own.losses or not own.loss:
        return None
    return float((own.profit / own.wins) / (own.loss / own.losses))


def shown(figure: Figure, currency: str) -> str:
    """A figure's value as text: `+1,234.50 USDT`, `+12.3 %`, `1.87`; without a value: why there is none."""
    if figure.value is None:
        return figure.why.partition(":")[0] or "no data"
    return _WRITTEN[figure.unit](figure, currency)


def _money(figure: Figure, currency: str) -> str:
    value = figure.value if isinstance(figure.value, Decimal) else Decimal(str(figure.value))
    return money(value, currency, sign=figure.name != "fees")


def _share(figure: Figure, _currency: str) -> str:
    percent = float(figure.value or 0) * 100
    places = 1 if abs(percent) >= 1 or not percent else 2
    sign = "" if figure.name == "win_rate" else "+"
    return f"{percent:{sign},.{places}f} %".replace("-", "−")


_WRITTEN: dict[str, Callable[[Figure, str], str]] = {
    "money": _money,
    "share": _share,
    "ratio": lambda figure, _: f"{float(figure.value or 0):,.2f}".replace("-", "−"),
    "average": lambda figure, _: f"{float(figure.value or 0):,.2f} open",
    "seconds": lambda figure, _: duration(float(figure.value or 0)),
}


def basis(figure: Figure) -> str:
    """Formula and basis, for whoever wants to know how the figure is made."""
    text = f"{figure.formula}. Basis: {count(figure.n, 'closed round trip' if figure.basis == 'trades' else 'day')}."
    return f"{text} {figure.why[:1].upper()}{figure.why[1:]}." if figure.why else text


def _over(value: Decimal | int, by: Decimal | int) -> Decimal | None:
    return Decimal(value) / Decimal(by) if by else None


def _fall(fall: Drawdown | None) -> Decimal | float | None:
    if fall is None:
        return None
    return fall.amount if fall.share is None else fall.share


def _when(fall: Drawdown | None) -> str:
    if fall is None:
        return ""
    end = f"made good {fall.recovered}" if fall.recovered else "not made good yet"
    return f"{fall.peak} to {fall.trough}, {end}"


def _of_gross(own: Sums, currency: str) -> str:
    return f"gross P&L {money(own.gross_pnl, currency, sign=True)}" if own.trips else ""


def _holds(own: Sums) -> str:
    lost = own.valued - own.wins
    if not own.wins or not lost or own.valued != own.trips:
        return ""
    wins, losses = own.hold_wins_s / own.wins, (own.hold_s - own.hold_wins_s) / lost
    return f"wins {duration(float(wins))}, others {duration(float(losses))}"
