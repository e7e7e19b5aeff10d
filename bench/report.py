"""The tables of results, set against the targets."""

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import load
from bench.definitions import SERVICES, Definitions
from bench.growth import SMALL, Growth
from bench.layers import Layers
from bench.load import Sample
from bench.serving import Serving
from bench.startup import Startup
from bench.streams import Streams
from distributed_config.models import sqlite as engines

BEGIN = "<!-- measured: begin (written by `make bench`) -->"
END = "<!-- measured: end -->"

# Ours, the other one, and how many times as fast ours is to be (None: only told).
_COMPARED: list[tuple[str, str, float | None]] = [
    ("ours, hot GET with a token", "bare ASGI, 200", 2),
    ("ours, hot GET with a token", "nginx, a file", 0.9),
    ("ours, hot GET with a token", "etcd, JSON gateway", 6),
    ("ours, hot GET with a token", "ours, hot GET", None),
    ("ours, hot GET", "bare ASGI, 200", None),
    ("ours, hot GET", "Flask-SQLAlchemy, GET", None),
    ("ours, 304", "bare ASGI, 304", 2),
    ("ours, GET through Flask", "minimal Flask, ASGI", 0.5),
    ("ours, /healthz through Flask", "minimal Flask, ASGI", 0.5),
    ("ours, GET through Flask", "minimal Flask, gthread", None),
    ("ours, /healthz through Flask", "minimal Flask, gthread", None),
    ("ours, append", "Flask-SQLAlchemy, append", 4),
    ("ours, append", "etcd, put", 0.3),
]
_SLOWEST_WRITE = 0.15
_GROWTH = {"current": 1.1, "append": 1.1}
_READY = 1.0
_MEMORY = 100e6
_HELP = 0.3
_CHECK = 10e-6
_PAGE = 10e-3
_DELIVERY = 0.12
_BYTES_EACH = 10 * 1024
_READ_WHILE = 0.015
_GET = 2
_HOT_LAYERS = 0.95
_COLD_LAYERS = 3
_WRITE_LAYERS = 1.0
_DELIVERY_LAYERS = 0.2
_COMMAND = 0.15
_OTHERS = {"bare": "bare transports", "etcd": "etcd's gateway", "redis": "Redis"}


def tables(
    serving: Serving | None,
    growth: Growth | None,
    definitions: Definitions | None,
    layers: Layers | None,
    streams: Streams | None,
    startup: Startup | None,
    *,
    rounds: int,
    seconds: int,
    busy: float,
) -> str:
    """Return everything as Markdown."""
    parts = [_machine(rounds, seconds, busy)]
    if serving is not None:
        parts += [_ratios(serving), *(f"*{text}*" for text in serving.missing), _figures(serving)]
    if growth is not None:
        parts.append(_growth(growth))
    if definitions is not None:
        parts.append(_definitions(definitions))
    if layers is not None:
        parts.append(_layers(layers))
    if streams is not None:
        parts.append(_streams(streams))
    if startup is not None:
        parts.append(_startup(startup, serving))
    return "\n\n".join(parts)


def write(path: Path, text: str) -> None:
    """Put ``text`` between the two marks of the file; leave everything around them."""
    page = path.read_text() if path.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"{path} lacks the marks {BEGIN} and {END}; nothing was written")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _ratios(serving: Serving) -> str:
    rows = []
    for ours, other, target in _COMPARED:
        if ours not in serving.samples or other not in serving.samples:
            continue
        pairs = list(zip(serving.samples[ours], serving.samples[other], strict=True))
        rates = [a.rate / b.rate for a, b in pairs]
        cpu = [b.cpu / a.cpu for a, b in pairs]
        rows.append(
            (
                f"{ours} : {other}",
                _spread(rates, _ratio),
                _spread(cpu, _ratio),
                "–" if target is None else f"≥ {target:g}",
                "–" if target is None else _reached(statistics.median(rates) >= target),
            )
        )
    rows += _write_rows(serving.samples["ours, append"])
    return _table(
        ("compared", "by requests a second", "by processor time", "target", "reached"), rows
    )


def _write_rows(samples: list[Sample]) -> Iterator[tuple[str, ...]]:
    failures = sum(sample.failures for sample in samples)
    answers = sum(sample.answers for sample in samples)
    slowest = max(sample.slowest for sample in samples)
    yield (
        "ours, append: failures",
        f"{failures} of {answers + failures:,}",
        "",
        "0",
        _reached(failures == 0),
    )
    yield (
        "ours, append: slowest of all",
        _milliseconds(slowest),
        "",
        f"≤ {_milliseconds(_SLOWEST_WRITE)}",
        _reached(slowest <= _SLOWEST_WRITE),
    )


def _figures(serving: Serving) -> str:
    rows = [
        (
            name,
            _spread([sample.rate for sample in samples], "{:,.0f}".format),
            f"{statistics.median(sample.cpu for sample in samples) * 1e6:,.0f} µs",
            _milliseconds(statistics.median(sample.p50 for sample in samples)),
            _milliseconds(statistics.median(sample.p99 for sample in samples)),
            _milliseconds(max(sample.slowest for sample in samples)),
            f"{sum(sample.failures for sample in samples):,}",
        )
        for name, samples in serving.samples.items()
    ]
    return _table(
        (
            *("", "requests a second", "processor time of the server for each", "half within"),
            *("99 % within", "slowest", "failures"),
        ),
        rows,
    )


def _growth(growth: Growth) -> str:
    rows = []
    for kind, pairs in growth.pairs.items():
        target = _GROWTH[kind.partition(",")[0]]
        times = [large.time / small.time for small, large in pairs]
        cpu = [large.cpu / small.cpu for small, large in pairs]
        large = statistics.median(large.time for _, large in pairs)
        most = max(statistics.median(times), statistics.median(cpu))
        rows.append(
            (
                kind,
                f"{large * 1e6:,.0f} µs",
                _spread(times, _ratio),
                _spread(cpu, _ratio),
                f"≤ {target:g}",
                _reached(most <= target),
            )
        )
    return _table(
        (
            *(f"{growth.large:,} versions : {SMALL:,}", f"at {growth.large:,}", "by time"),
            *("by processor time", "target", "reached"),
        ),
        rows,
    )


def _definitions(results: Definitions) -> str:
    rows = [
        (
            "check of a document against 30 properties",
            _spread(results.check, _microseconds),
            *_verdict(results.check, _microseconds, _CHECK),
        ),
        (
            "append, with a definition of three indexes : without",
            _spread([bound / free for free, bound in results.appends], _ratio),
            *_verdict([], _ratio, None),
        ),
        *(
            (
                f"page of 100 out of {SERVICES:,} services: {name}",
                _spread(times, _milliseconds),
                *_verdict(times, _milliseconds, _PAGE),
            )
            for name, times in results.pages.items()
        ),
        (
            "review of a revision, each current document",
            _spread(results.review, _microseconds),
            *_verdict([], _microseconds, None),
        ),
    ]
    return _table(("definitions, below HTTP", "measured", "target", "reached"), rows)


def _layers(results: Layers) -> str:
    hot = [resolved.rate / plain.rate for plain, resolved in results.hot]
    cold = [resolved.cpu / plain.cpu for plain, resolved in results.cold]
    rows = [
        (
            "hot GET of a resolved document : hot GET, by requests a second",
            _spread(hot, _ratio),
            f"≥ {_HOT_LAYERS:g}",
            _reached(statistics.median(hot) >= _HOT_LAYERS),
        ),
        (
            "GET of 8 layers and 10 references through Flask : of one document, by processor time",
            _spread(cold, _ratio),
            *_verdict(cold, _ratio, _COLD_LAYERS),
        ),
        (
            "a write that changes 1,000 resolved documents, all of them checked",
            _spread(results.write, _milliseconds),
            *_verdict(results.write, _milliseconds, _WRITE_LAYERS),
        ),
        (
            "1,000 watchers of 1,000 services that rest on it: to the last of them",
            _spread(results.delivery, _milliseconds),
            *_verdict(results.delivery, _milliseconds, _DELIVERY_LAYERS),
        ),
        ("events that one of them missed", f"{results.missed}", "0", _reached(not results.missed)),
        (
            "`distconf get`, from its start to its end",
            _spread(results.command, _milliseconds),
            *_verdict(results.command, _milliseconds, _COMMAND),
        ),
    ]
    return _table(("layers", "measured", "target", "reached"), rows)


def _streams(results: Streams) -> str:
    subject = f"{results.watchers:,} watchers"
    pairs = zip(results.get, results.get_two_lines, strict=True)
    against_two_lines = [ours / theirs for ours, theirs in pairs]
    rows = [
        (
            f"{subject}: events that one of them missed",
            f"{results.missed}",
            "0",
            _reached(not results.missed),
        ),
        (
            f"{subject}: from the acknowledgement of a commit to the last of them",
            _spread(results.delivery, _milliseconds),
            f"≤ {_milliseconds(_DELIVERY)}",
            _reached(bool(results.delivery) and statistics.median(results.delivery) <= _DELIVERY),
        ),
        *(
            (
                f"{subject} of {_OTHERS[name]}: to the last of them",
                _spread(delivery, _milliseconds),
                "–",
                "–",
            )
            for name, (delivery, _) in results.beside.items()
        ),
        (
            f"{subject}: memory of the server (PSS) for each",
            f"{results.bytes_each / 1024:.1f} KiB",
            f"≤ {_BYTES_EACH / 1024:.0f} KiB",
            _reached(results.bytes_each <= _BYTES_EACH),
        ),
        *(
            (
                f"{subject} of {_OTHERS[name]}: memory of the server for each",
                f"{size / 1024:.1f} KiB",
                "–",
                "–",
            )
            for name, (_, size) in results.beside.items()
        ),
        (
            "a read while they are notified, 99 % within",
            _milliseconds(_p99(results.reads_busy)),
            f"≤ {_milliseconds(_READ_WHILE)}",
            _reached(_p99(results.reads_busy) <= _READ_WHILE),
        ),
        (
            "that read when nobody watches",
            _milliseconds(_p99(results.reads_quiet)),
            "–",
            "–",
        ),
        (
            'client: `cfg["key"]`',
            _spread(results.get, _nanoseconds),
            "–",
            "–",
        ),
        (
            'client: `cfg["key"]` : a class of two lines',
            _spread(against_two_lines, _ratio),
            *_verdict(against_two_lines, _ratio, _GET),
        ),
        (
            "from an acknowledgement to the program",
            _spread(results.to_program, _milliseconds),
            "–",
            "–",
        ),
        (
            "from an acknowledgement to the sidecar's file",
            _spread(results.to_file, _milliseconds),
            "–",
            "–",
        ),
    ]
    return _table(("streams and clients", "measured", "target", "reached"), rows)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def _startup(startup: Startup, serving: Serving | None) -> str:
    rows = []
    for what, values, show, target in (
        ("start to the first answer", startup.ready, _seconds, _READY),
        ("processor time of all processes until then", startup.cpu, _seconds, None),
        ("memory (PSS) of two workers", startup.workers, _megabytes, _MEMORY),
        ("memory with gunicorn's first process", startup.whole, _megabytes, None),
        ("memory after all the load above", _after(serving), _megabytes, None),
        ("`distconf --help`", startup.help, _seconds, _HELP),
    ):
        if values:
            rows.append((what, _spread(values, show), *_verdict(values, show, target)))
    return _table(("start and memory", "measured", "target", "reached"), rows)


def _verdict(
    values: Sequence[float], show: Callable[[float], str], most: float | None
) -> tuple[str, str]:
    if most is None:
        return "–", "–"
    return f"≤ {show(most)}", _reached(statistics.median(values) <= most)


def _after(serving: Serving | None) -> list[int]:
    return [] if serving is None else [serving.memory]


# --- the machine


def _machine(rounds: int, seconds: int, busy: float) -> str:
    generator = "wrk" if load.has_wrk() else "the benchmark's own client: wrk is not installed"
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    facts = {
        "when": f"{datetime.now(UTC):%Y-%m-%d}, {rounds} rounds, {seconds} s for each",
        "machine": f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"Linux {platform.release()}; load average {busy:.1f} before the run",
        "Python": f"{platform.python_version()}; gunicorn {metadata.version('gunicorn')}, "
        f"Flask {metadata.version('flask')}, SQLAlchemy {metadata.version('sqlalchemy')}",
        "SQLite": f"{engines.sqlite.sqlite_version}, {'/'.join(engines.journal_mode())}",
        "load": f"by {generator}; 32 connections",
    }
    version = _etcd_version()
    if version:
        facts["etcd"] = version
    return "\n".join(f"* {name}: {text}" for name, text in facts.items())


def _etcd_version() -> str:
    try:
        told = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True)
    except OSError:
        return ""
    return told.stdout.partition("\n")[0].rpartition(" ")[2]


# --- how values are written


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    middle = show(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({show(min(values))}–{show(max(values))})"


def _ratio(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _nanoseconds(value: float) -> str:
    return f"{value * 1e9:.0f} ns"


def _microseconds(value: float) -> str:
    return f"{value * 1e6:.1f} µs"


def _milliseconds(value: float) -> str:
    return f"{value * 1000:.1f} ms"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.0f} MB"


def _reached(yes: bool) -> str:
    return "yes" if yes else "**no**"
