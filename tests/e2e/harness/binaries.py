"""Where the programs under test are: the folder RINGKV_BIN, which scripts/e2e sets."""

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def binary(name):
    folder = os.environ.get("RINGKV_BIN")
    assert folder, "RINGKV_BIN is not set: run scripts/e2e"
    path = Path(folder) / name
    assert path.is_file(), f"{path} is missing: run make build"
    return str(path)


def clean_environment(**extra):
    """The caller's environment without anything that would change how programs or clients behave."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RINGKV_", "RUST_LOG"))}
    return kept | extra


def run(*arguments, seconds=60, **options):
    """Runs a program to its end and answers (status, stdout, stderr)."""
    options.setdefault("env", clean_environment())
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=seconds, check=False, **options)
    return done.returncode, done.stdout, done.stderr


def system(*arguments, **options):
    """Runs a tool of the system that must succeed, and answers what it printed."""
    status, out, err = run(*arguments, **options)
    assert status == 0, f"{' '.join(map(str, arguments))} ended with {status}: {err or out}"
    return out
