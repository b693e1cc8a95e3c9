#!/usr/bin/env python3
"""systemd_test.py UNIT PROGRAM: whether systemd takes the unit, whether it is as closed as it says, and whether PROGRAM takes
its command line.

systemd itself need not run. Its measure of exposure goes from 0, closed, to 10; what the unit leaves open is the network.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

EXPOSURE_MAX = 1.5


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def main():
    unit, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    text = unit.read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=(\S+) (.*)$", text, re.MULTILINE)
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        # With the program where it is now, and without the manual, which nobody has installed.
        here = pathlib.Path(folder) / unit.name
        here.write_text(re.sub(r"^Documentation=.*\n", "", text.replace(command[1], program), flags=re.MULTILINE), encoding="utf-8")
        code, said = run("systemd-analyze", "verify", str(here))
        if code != 0 or said.strip():
            faults.append(f"systemd-analyze verify: {said.strip()}")
        code, said = run("systemd-analyze", "security", "--offline=true", f"--threshold={round(EXPOSURE_MAX * 10)}", str(here))
        if code != 0:
            faults.append(f"systemd-analyze security: {said.strip().splitlines()[-1]}")
        config = pathlib.Path(folder) / "klatchd.toml"
        config.write_text("", encoding="utf-8")
        options = command[2].replace("/etc/klatch/klatchd.toml", str(config)).split()
        code, said = run(program, *options, "--check-config")
        if code != 0:
            faults.append(f"{' '.join(options)}: {said.strip()}")
    for fault in faults:
        print(fault)
    print("not as it says" if faults else "as it says")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
