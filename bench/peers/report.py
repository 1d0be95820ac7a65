"""What was measured, as Markdown."""

from figures import cpu, kib, measured, middle, quantile, ratio


def markdown(result):
    """The whole report."""
    worked = [entry for entry in result["workloads"] if measured(entry["rounds"]) is cpu]
    held = [entry for entry in result["workloads"] if measured(entry["rounds"]) is kib]
    parts = [about(result)]
    if worked:
        parts += [cpu_table(worked), speed_table(worked)]
    if held:
        parts.append(memory_table(held))
    return "\n\n".join(parts) + "\n"


def about(result):
    """When, where and with what."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return (
        f"{result['date']}, {machine['cores']} cores of {machine['cpu']}, Linux {machine['kernel']}, load average up to {machine['load']:.0f}; {versions}; "
        f"{result['rounds']} rounds of {result['seconds']} s each. Ratios are the medians of the rounds' own, "
        "in brackets the least and the greatest."
    )


def names(entries):
    """The proxies, in their order."""
    return list(entries[0]["rounds"])


def table(head, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def ratios(entries):
    """The columns of ratios: what they are called, and who is divided by whom."""
    there = names(entries)
    pairs = [("Equipoise", "nginx", "× nginx"), ("Equipoise", "HAProxy", "× HAProxy"), ("Equipoise", "other", "× other")]
    return [pair for pair in pairs if pair[0] in there and pair[1] in there]


def divided(rounds, mine, theirs):
    """A ratio as it is written."""
    found = ratio(rounds, mine, theirs)
    return f"**{found[0]:.2f}** ({found[1]:.2f}–{found[2]:.2f})" if found else ""


def cpu_table(entries):
    """CPU time."""

    def time(rounds, name):
        user = middle(rounds, name, lambda taken: taken["user_us"])
        kernel = middle(rounds, name, lambda taken: taken["kernel_us"])
        return f"{middle(rounds, name, cpu):.1f} ({user:.1f} + {kernel:.1f})"

    head = ["CPU, µs (program + kernel)", *names(entries), *(title for _, _, title in ratios(entries))]
    rows = [
        [f"{entry['title']} `{entry['name']}`"]
        + [time(entry["rounds"], name) for name in names(entries)]
        + [divided(entry["rounds"], mine, theirs) for mine, theirs, _ in ratios(entries)]
        for entry in entries
    ]
    return table(head, rows)


def speed_table(entries):
    """Throughput and latency."""

    def speed(rounds, name):
        rate = middle(rounds, name, lambda taken: taken["requests"] / taken["seconds"])
        taken = [quantile(rounds, name, which) for which in ("p50", "p99", "p999")]
        if None in taken:
            return f"{rate:.0f}"
        return f"{rate:.0f}: {' / '.join(f'{value / 1000:.1f}' for value in taken)}"

    head = ["a second: p50 / p99 / p99.9 in ms", *names(entries)]
    return table(head, [[f"`{e['name']}`"] + [speed(e["rounds"], name) for name in names(entries)] for e in entries])


def connections(entry):
    """How many there were: less than the workload wants, where descriptors are few."""
    return next(iter(entry["rounds"].values()))[0]["connections"]


def memory_table(entries):
    """Memory."""

    def size(rounds, name):
        return f"{middle(rounds, name, kib):.1f} ({middle(rounds, name, lambda taken: taken['rss_kib']):.1f})"

    head = ["KiB a connection, PSS (RSS)", *names(entries), *(title for _, _, title in ratios(entries))]
    rows = [
        [f"{connections(entry)} {entry['title']} `{entry['name']}`"]
        + [size(entry["rounds"], name) for name in names(entries)]
        + [divided(entry["rounds"], mine, theirs) for mine, theirs, _ in ratios(entries)]
        for entry in entries
    ]
    return table(head, rows)
