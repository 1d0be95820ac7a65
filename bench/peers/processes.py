"""Processes on cores of their own: what they use of the CPU and of memory."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

TICK = 1 / os.sysconf("SC_CLK_TCK")


class MeasurementError(Exception):
    """Something didn't do what a measurement needs; the text says what."""


@dataclass(frozen=True)
class Cores:
    """Which cores the proxies have, and which the load and the servers behind."""

    proxy: str
    load: str

    @classmethod
    def share(cls, threads):
        """Cores of each side apart, as far as the machine has them."""
        have = sorted(os.sched_getaffinity(0))
        if len(have) >= 2 * threads:
            return cls(listed(have[:threads]), listed(have[threads : 2 * threads]))
        return cls(listed(have[:threads]), listed(have[-1:]))


def listed(cores):
    """As taskset writes them."""
    return ",".join(str(core) for core in cores)


class Running:
    """A process and its children, until it is stopped."""

    def __init__(self, command, core, output=None):
        self.name = os.path.basename(command[0])
        # Appended to, so that the file can be emptied between two rounds.
        self.output = open(output, "ab") if output else tempfile.TemporaryFile()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            ["taskset", "-c", core, *command],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.errors,
        )

    def wait_for(self, port, address="127.0.0.1", seconds=30):
        """Waits until it accepts connections."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise MeasurementError(f"{self.name} ended with status {self.process.returncode}: {self.said()}")
            try:
                socket.create_connection((address, port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise MeasurementError(f"{self.name} accepts no connections on port {port}")

    def said(self):
        """The last of its words about what is wrong."""
        self.errors.seek(0)
        return " ".join(self.errors.read().decode(errors="replace").strip().splitlines()[-2:])

    def pids(self):
        """It and its children."""
        found, look = [], [self.process.pid]
        while look:
            pid = look.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                        look += [int(child) for child in file.read().split()]
            except OSError:
                continue
        return found

    def cpu(self):
        """Seconds of CPU time so far: those of the program, and those of the kernel for it."""
        user = kernel = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            user += int(fields[11])
            kernel += int(fields[12])
        return user * TICK, kernel * TICK

    def memory(self):
        """KiB: resident, and proportional, in which what several processes share counts once."""
        resident = proportional = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                    sizes = {line.split(":")[0]: int(line.split()[1]) for line in file if line.endswith("kB\n")}
            except OSError:
                continue
            resident += sizes.get("Rss", 0)
            proportional += sizes.get("Pss", 0)
        return resident, proportional

    def stop(self):
        """Ends it, by its id. A binary that counts its ways writes them down as it ends, which takes a moment."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                for pid in self.pids():
                    os.kill(pid, signal.SIGKILL)
                self.process.wait()
        self.output.close()
        self.errors.close()


def run_pinned(command, core, seconds):
    """Runs a program to its end on `core` and returns what it printed."""
    done = subprocess.run(
        ["taskset", "-c", core, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise MeasurementError(f"{command[0]} failed: {' '.join(said)}")
    return done.stdout
