"""Packages outside this repository, as pip leaves them behind: a module and its metadata in a folder."""

from __future__ import annotations

from pathlib import Path

MOODY = '''
import os
import signal
import time

from insource.core.values import PrivacySpan


class Moody:
    """Finds `secret`, and does what the text tells it."""

    linear_time = False

    def scan(self, text):
        if "raise" in text:
            raise RuntimeError(text)
        while "loop" in text:
            pass
        while "stubborn" in text:
            try:
                while True:
                    pass
            except BaseException:
                continue
        if "sleep" in text:
            time.sleep(3600)
        if "die" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "exit" in text:
            raise SystemExit(0)
        if "chatter" in text:
            print(text * 10_000)
            os.write(1, b"chatter")
        at = text.find("secret")
        return [] if at < 0 else [PrivacySpan(start=at, end=at + 6, kind="word", confidence=1.0)]
'''


def install(folder: Path, *, package: str, points: str) -> None:
    """The metadata of a package that registers plugins."""
    info = folder / f"{package.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(points)


def install_moody_detector(folder: Path) -> Path:
    """A package whose detector `moody` raises, loops, sleeps, dies or prints as the text tells it. Returns the folder
    that PYTHONPATH must name."""
    site = folder / "site"
    install(site, package="moody-detector", points="[insource.detectors]\nmoody = moody_detector:Moody\n")
    (site / "moody_detector.py").write_text(MOODY)
    return site
