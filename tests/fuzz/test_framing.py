"""Mutants of record files, every case of a fixed seed; `make fuzz` runs many more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("framing.py")
CASES = 15_000  # some 90 s of one core; they take all there are


@pytest.mark.slow
def test_no_mutant_crashes_hangs_or_hides_an_intact_record():
    words = [sys.executable, str(FUZZ), "--cases", str(CASES), "--seed", "2026"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert (said["cases"], said["wrong"]) == (CASES, [])
    assert said["peak_mib"] < 1024
    assert len(said["ways"]) == 8
