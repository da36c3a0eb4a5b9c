"""Numbers in words, as every output says them. Imports nothing."""

NANOSECONDS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))
BYTES = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))


def duration(nanoseconds: float) -> str:
    """A time span with three significant digits: "1.20 s", "250 ms", "13.4 µs"."""
    if nanoseconds < 0:
        return "-" + duration(-nanoseconds)
    for unit, name in NANOSECONDS:
        if nanoseconds >= unit * 0.9995:
            return f"{_three_digits(nanoseconds / unit)} {name}"
    return f"{nanoseconds:.0f} ns"


def size(count: int) -> str:
    """A number of bytes: "913 bytes", "4.10 kB"."""
    for unit, name in BYTES:
        if count >= unit:
            return f"{_three_digits(count / unit)} {name}"
    return counted(count, "byte")


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number and its noun, in the right form: "1 call", "1,204 calls"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def percent(share: float) -> str:
    """A share between 0 and 1. Only all is 100 %, and only nothing is 0 %."""
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share * 100:.0f}%"


def _three_digits(number: float) -> str:
    if number >= 99.95:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"
