"""One result of what the programs in bench/micro wrote, and a table of it on stdout.

    micro_results.py RESULT KEY=VALUE… -- FILE.json…

RESULT gets the keys as its context, and each benchmark with the median and the range of its repetitions.
Exits with 1 if a benchmark found one of its answers to be wrong; it is in the result as such.
"""

import json
import statistics
import sys


def spread_of(values):
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


def merged(name, runs):
    """One benchmark from its repetitions."""
    errors = sorted({run["error_message"] for run in runs if run.get("error_occurred")})
    if errors:
        return {"name": name, "error": "; ".join(errors)}
    benchmark = {"name": name, "repetitions": len(runs)}
    # An iteration may be many items: a hand-over is 200,000. What an item costs in processor time, of all threads
    # together, says more than what it takes where a machine is busy.
    benchmark["ns_per_item"] = spread_of([1e9 / run["items_per_second"] for run in runs])
    benchmark["cpu_ns_per_item"] = spread_of(
        [1e9 / run["items_per_second"] * run["cpu_time"] / run["real_time"] for run in runs])
    benchmark["items_per_second"] = spread_of([run["items_per_second"] for run in runs])
    if "refused" in runs[0]:
        benchmark["refused_per_million"] = spread_of([run["refused"] * 1e6 / run["iterations"] for run in runs])
    return benchmark


def benchmarks_of(path):
    with open(path, encoding="utf-8") as file:
        runs = [run for run in json.load(file)["benchmarks"] if run["run_type"] == "iteration"]
    by_name = {}
    for run in runs:
        by_name.setdefault(run["run_name"], []).append(run)
    return [merged(name, of_name) for name, of_name in by_name.items()]


def title_and_row(name):
    """BM_<Type>_<Operation>[_<Condition>][/argument…]: what is compared in one block, and whose row it is."""
    words, *arguments = name.removeprefix("BM_").split("/")
    kind, operation, *condition = words.split("_")
    arguments = [argument for argument in arguments if argument not in ("process_time", "real_time")]
    return " ".join([operation, *arguments]), " ".join([kind, *condition])


def figure(value):
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def print_table(benchmarks):
    blocks = {}
    for benchmark in benchmarks:
        title, row = title_and_row(benchmark["name"])
        blocks.setdefault(title, []).append((row, benchmark))
    print(f"{'':32} {'ns per item':>12}  {'(min to max)':20} {'of CPU':>10}")
    for title, rows in blocks.items():
        print(f"\n{title}")
        for row, benchmark in rows:
            if "error" in benchmark:
                print(f"  {row:36} WRONG: {benchmark['error']}")
                continue
            ns = benchmark["ns_per_item"]
            spread = f"({figure(ns['min'])} to {figure(ns['max'])})"
            print(f"  {row:32} {figure(ns['median']):>10}  {spread:20} {figure(benchmark['cpu_ns_per_item']['median']):>10}")


def main(arguments):
    separator = arguments.index("--")
    result_path, *context = arguments[:separator]
    benchmarks = [benchmark for path in arguments[separator + 1 :] for benchmark in benchmarks_of(path)]
    result = {"context": dict(pair.split("=", 1) for pair in context), "benchmarks": benchmarks}
    with open(result_path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print_table(benchmarks)
    return 1 if any("error" in benchmark for benchmark in benchmarks) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
