"""Which photos there are, which are done, and what became of them: report.jsonl on disk, and a table that takes no memory."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import FleetError
from .photos import Photo

Line = dict[str, Any]
"""A line of the report: photo, result, seconds, worker, seed, error, and the key and stamp of what it was made from."""


class Ledger:
    """Every photo with its job, and with its line of the report once it has one."""

    def __init__(self, results: Path):
        self.results, self.file = results, results / "report.jsonl"
        # Without a name SQLite keeps the table in a temporary file of its own. Photos are named by their bytes, since Linux takes any.
        self.table = sqlite3.connect("")
        self.table.execute("CREATE TABLE photos (photo BLOB PRIMARY KEY, job TEXT, line TEXT, error TEXT, changed INT)")

    def add(self, photo: Photo, key: str) -> None:
        job = {"photo": photo.name, "stem": photo.stem, "values": {}, "key": key, "stamp": photo.stamp}
        self.table.execute("INSERT INTO photos (photo, job) VALUES (?, ?)", (os.fsencode(photo.name), json.dumps(job)))

    def give(self, name: str, values: dict[str, str], key: str) -> None:
        """One photo gets values of its own."""
        job = self._job(name)
        if job is None:
            raise FleetError(f"The values name a photo that is not there: {name!r}. Write its path inside the folder, such as shoes/1.jpg.")
        job |= {"values": values, "key": key}
        self.table.execute("UPDATE photos SET job = ? WHERE photo = ?", (json.dumps(job), os.fsencode(name)))

    def resume(self, again: bool) -> None:
        """Takes over what earlier runs have done. What failed, and photos that changed or whose result is gone, are to do."""
        whole = True
        if self.file.exists():
            with open(self.file, encoding="utf-8", errors="surrogateescape") as lines:
                for text in lines:
                    whole = text.endswith("\n")
                    self._take_over(text)
        changed, first = self.table.execute("SELECT count(*), min(photo) FROM photos WHERE changed").fetchone()
        if changed and not again:
            raise FleetError(
                f"{changed} results in {self.results} were made with another workflow or other values, that of {os.fsdecode(first)} for one. "
                "Take --again to make these anew, or another folder for the results."
            )
        self.total, self.done, self.failed = self.table.execute("SELECT count(*), count(line), count(error) FROM photos").fetchone()
        self.report = open(self.file, "a", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115 (open as long as the run)
        if not whole:
            self.report.write("\n")  # the run before was ended in the middle of a line

    def write(self, line: Line) -> None:
        self.report.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.report.flush()
        values = (json.dumps(line), line["error"], os.fsencode(line["photo"]))
        self.table.execute("UPDATE photos SET line = ?, error = ? WHERE photo = ?", values)
        self.done, self.failed = self.done + 1, self.failed + (line["error"] is not None)

    def left(self) -> Iterator[str]:
        """The jobs of what is to do, as JSON."""
        return (job for (job,) in self.table.execute("SELECT job FROM photos WHERE line IS NULL ORDER BY rowid"))

    def lines(self) -> Iterator[Line]:
        """The report, what failed first, reason by reason."""
        chosen = "SELECT line FROM photos WHERE line NOTNULL ORDER BY error IS NULL, error, photo"
        return (json.loads(line) for (line,) in self.table.execute(chosen))

    def _take_over(self, text: str) -> None:
        try:
            line = json.loads(text)
        except ValueError:
            return
        job = self._job(line["photo"])
        if job is None:
            return
        stands = line["error"] is None and line["stamp"] == job["stamp"] and (self.results / line["result"]).is_file()
        same = line["key"] == job["key"]
        values = (json.dumps(line) if stands and same else None, stands and not same, os.fsencode(line["photo"]))
        self.table.execute("UPDATE photos SET line = ?, changed = ? WHERE photo = ?", values)

    def _job(self, name: str) -> dict[str, Any] | None:
        found = self.table.execute("SELECT job FROM photos WHERE photo = ?", (os.fsencode(name),)).fetchone()
        return json.loads(found[0]) if found else None
