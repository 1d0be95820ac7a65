"""From rounds to figures: medians, and ratios with their spread."""

from statistics import median


def cpu(taken):
    """Microseconds of CPU time a unit, in one round."""
    return taken["user_us"] + taken["kernel_us"]


def kib(taken):
    """KiB a connection, in one round."""
    return taken["pss_kib"]


def measured(rounds):
    """What the rounds are about: CPU time or memory."""
    return cpu if "user_us" in next(iter(rounds.values()))[0] else kib


def ratio(rounds, name, peer):
    """How much `name` takes of what `peer` takes: the median of the rounds' own ratios, the least and the greatest.

    Both of a round are measured within seconds of each other, so what the machine does besides falls on both.
    """
    if name not in rounds or peer not in rounds:
        return None
    of = measured(rounds)
    ratios = [of(mine) / max(of(theirs), 1e-9) for mine, theirs in zip(rounds[name], rounds[peer])]
    return median(ratios), min(ratios), max(ratios)


def middle(rounds, name, of):
    """The median of one proxy's rounds."""
    return median(of(taken) for taken in rounds[name])


def quantile(rounds, name, which):
    """Median over the rounds of a quantile of latency, in microseconds, or None."""
    known = [taken["latency_us"][which] for taken in rounds[name] if taken.get("latency_us")]
    return median(known) if known else None
