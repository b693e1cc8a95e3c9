#!/usr/bin/env python3
"""hardening_test.py PROGRAM…: what the programs were linked and compiled with, as readelf tells it.

So that an error in memory ends a program rather than serves somebody: it is loaded at a random place, what the loader
has bound can't be written any more, its stack is not executable, calls that overflow a buffer of known size end it, and
so do functions that overwrite their frame.
"""

import re
import subprocess
import sys


def readelf(program, *options):
    return subprocess.run(["readelf", "-W", *options, program], capture_output=True, text=True, check=True).stdout


def missing(program):
    header, dynamic = readelf(program, "-h"), readelf(program, "-d")
    segments, symbols = readelf(program, "-l"), readelf(program, "--dyn-syms")
    stack = re.search(r"GNU_STACK(?:\s+0x\w+){5}\s+(\w+)", segments)
    found = {
        "position-independent": "DYN (Position-Independent Executable" in header,
        "relocations read-only": "GNU_RELRO" in segments,
        "bound at the start": re.search(r"FLAGS_1\).*\bNOW\b", dynamic) is not None,
        "stack not executable": stack is not None and "E" not in stack.group(1),
        "stack protector": "__stack_chk_fail" in symbols,
        "fortified calls": re.search(r"__\w+_chk@", symbols) is not None,
    }
    return [what for what, is_there in found.items() if not is_there]


def main():
    bad = {program: missing(program) for program in sys.argv[1:]}
    for program, what in bad.items():
        print(f"{program}: {'lacks ' + ', '.join(what) if what else 'hardened'}")
    return 1 if not bad or any(bad.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
