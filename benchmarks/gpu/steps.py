"""The steps, the dearest last, and how long each may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One process of its own.

    Parameters
    ----------
    name
        In the report.
    words
        File in this folder and its arguments; ``pytest`` stands for the tests marked gpu.
    limit_s
        Seconds after which it is ended; what it has reported until then counts.
    beside
        Whether it runs beside the steps that follow, up to the first that wants the machine for itself.
    alone
        Whether what it measures would suffer from company.
    """

    name: str
    words: tuple[str, ...]
    limit_s: float
    beside: bool = False
    alone: bool = True


#: Seconds for all of it, unpacking and the report included; a command on such a machine ends at 600.
WHOLE_S = 530.0
#: Sizes of the models whose steps are timed.
SIZES = ("1M", "10M", "125M", "350M")

STEPS = (
    # Compiling takes longer than all timed steps together, and its results are kept on disk: it begins at once.
    Step("compile ahead", ("step_time.py", "--ahead", *SIZES), 150, beside=True, alone=False),
    Step("doctor", ("doctor.py",), 40, alone=False),
    Step("numerics", ("numerics.py",), 50, alone=False),
    Step("tests", ("pytest",), 60, alone=False),
    Step("resident data", ("resident.py",), 25),
    Step("peak memory", ("peak.py",), 25),
    Step("step time 1M", ("step_time.py", "1M"), 35),
    Step("step time 10M", ("step_time.py", "10M"), 40),
    Step("out of memory", ("oom.py",), 50),
    Step("quickstart", ("quickstart.py",), 90),
    Step("latency", ("latency.py",), 45),
    Step("state 350M", ("state.py",), 55),
    Step("step time 125M", ("step_time.py", "125M"), 60),
    Step("step time 350M", ("step_time.py", "350M"), 90),
)
