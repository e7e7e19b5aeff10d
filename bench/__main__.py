"""`make bench`, or `python -m bench`: measures, prints the tables and writes docs/benchmarks.md."""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import definitions, growth, layers, report, serving, startup, streams
from bench.servers import ROOT

_PARTS = ("serving", "growth", "definitions", "layers", "streams", "startup")


def main() -> None:
    asked = _arguments()
    # However it is told to end, the servers end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began, busy = time.monotonic(), os.getloadavg()[0]

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {text}", flush=True)

    rounds, seconds = (1, 1) if asked.quick else (asked.rounds, asked.seconds)
    large = growth.LARGE // 10 if asked.quick else growth.LARGE
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folders = {part: Path(name, part) for part in _PARTS}
        for folder in folders.values():
            folder.mkdir()
        served = grown = defined = layered = streamed = started = None
        if "serving" in asked.only:
            served = serving.measure(folders["serving"], rounds, seconds, say)
        if "growth" in asked.only:
            grown = growth.measure(folders["growth"], rounds, large, say)
        if "definitions" in asked.only:
            defined = definitions.measure(folders["definitions"], rounds, say)
        if "layers" in asked.only:
            resting = layers.WATCHERS // 10 if asked.quick else layers.WATCHERS
            layered = layers.measure(folders["layers"], rounds, seconds, resting, say)
        if "streams" in asked.only:
            watchers = streams.WATCHERS // 10 if asked.quick else streams.WATCHERS
            streamed = streams.measure(folders["streams"], watchers, say)
        if "startup" in asked.only:
            started = startup.measure(folders["startup"], 1 if asked.quick else 5, say)
    text = report.tables(
        served,
        grown,
        defined,
        layered,
        streamed,
        started,
        rounds=rounds,
        seconds=seconds,
        busy=busy,
    )
    print(f"\n{text}\n")
    if asked.quick or set(asked.only) != set(_PARTS):
        print("Not the whole run: docs/benchmarks.md stays as it is.")
    else:
        report.write(ROOT / "docs" / "benchmarks.md", text)
        say("wrote docs/benchmarks.md")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; writes no file")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=2, help="for each measurement")
    parser.add_argument(
        "--only", nargs="+", choices=_PARTS, default=_PARTS, help="these parts; writes no file"
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
