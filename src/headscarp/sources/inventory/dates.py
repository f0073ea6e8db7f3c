"""Dates of inventories: texts, numbers and parts of dates as instants with the interval in which each surely lies.

A year alone is an interval, not a date. Refuses nothing: what no format reads comes back as NaT, to be noted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

ISO = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d")
PARTIAL = ("%Y-%m", "%Y")
EPOCH_MS = "epoch_ms"
"""Milliseconds since 1970, as ArcGIS services give dates."""

_SECOND = pd.Timedelta(seconds=1)
_OFFSETS = {"year": pd.DateOffset(years=1), "month": pd.DateOffset(months=1), "day": pd.DateOffset(days=1)}


@dataclass(frozen=True, eq=False)
class Dates:
    """date: NaT where the day is not known. low, high: first and last second that fit; NaT where nothing is known.
    unreadable: what was there but no format read."""

    date: pd.Series
    low: pd.Series
    high: pd.Series
    unreadable: pd.Series


def read_dates(values: pd.Series, formats: Sequence[str] = (*ISO, *PARTIAL)) -> Dates:
    """Dates of a column by the first format (as of strptime, or "epoch_ms") that reads each; times as they are given.

    values: datetimes (with a time zone: brought to UTC), dates, texts or numbers; None, NaN and "" are missing.
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        instant = values.dt.tz_convert("UTC").dt.tz_localize(None) if values.dt.tz is not None else values
        return _dated(
            instant.astype("datetime64[ns]").dt.floor("s"), pd.Series("day", index=values.index), values.isna()
        )
    text = values.map(_text)
    # Many slides share a date: each different text is read once.
    which, different = pd.factorize(text)
    texts = pd.Series(different, dtype=object)
    instant = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[ns]")
    precision = pd.Series("", index=texts.index, dtype=object)
    for form in formats:
        left = instant.isna() & (texts != "")
        if not left.any():
            break
        found = _parse(texts[left], form).dropna()
        instant.loc[found.index] = found
        precision.loc[found.index] = _precision(form)
    each = [column.take(which).set_axis(values.index) for column in (instant, precision)]
    return _dated(each[0], each[1], text == "")


def dates_of_parts(year: pd.Series, month: pd.Series, day: pd.Series) -> Dates:
    """Dates from columns of year, month and day, each of which may be missing (None, "", 0): a year alone is one."""
    y, m, d = (pd.to_numeric(part, errors="coerce").fillna(0).astype("int64") for part in (year, month, day))
    text = y.map("{:04d}".format)
    text = text.where(m == 0, text + "-" + m.map("{:02d}".format))
    text = text.where((m == 0) | (d == 0), text + "-" + d.map("{:02d}".format))
    given = pd.concat([part.map(_text) for part in (year, month, day)], axis=1).agg(" ".join, axis=1).str.strip()
    return read_dates(text.where(given != "", ""), ("%Y-%m-%d", *PARTIAL))


def _dated(instant: pd.Series, precision: pd.Series, empty: pd.Series) -> Dates:
    low = instant.copy()
    high = pd.Series(pd.NaT, index=instant.index, dtype="datetime64[ns]")
    for name, offset in _OFFSETS.items():
        here = instant.notna() & (precision == name)
        if here.any():
            # The time of day is kept in the date, but who knows in which time zone: the interval is the whole day.
            low.loc[here] = instant[here].dt.normalize()
            high.loc[here] = low[here] + offset - _SECOND
    return Dates(instant.where(precision == "day"), low, high, instant.isna() & ~empty)


def _parse(text: pd.Series, form: str) -> pd.Series:
    if form == EPOCH_MS:
        found = pd.to_datetime(pd.to_numeric(text, errors="coerce"), unit="ms", errors="coerce")
    else:
        found = pd.to_datetime(text, format=form, errors="coerce")
    return found.astype("datetime64[ns]").dt.floor("s")


def _precision(form: str) -> str:
    if form == EPOCH_MS or "%d" in form or "%j" in form:
        return "day"
    return "month" if "%m" in form else "year"


def _text(value: object) -> str:
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
