"""Run all benchmarks one after the other; exit code 1 when one misses its bar."""

import importlib
import pkgutil
import sys

import benchmarks

results = []
for module in sorted(info.name for info in pkgutil.iter_modules(benchmarks.__path__)):
    if module.startswith("bench_"):
        print(f"\n{module}", flush=True)
        results.append(importlib.import_module(f"benchmarks.{module}").main())
sys.exit(int(any(results)))
