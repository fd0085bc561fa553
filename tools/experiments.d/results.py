"""The rows that are there, a line of a CSV file for each cell that was measured."""

import csv
import io
import math

import whole_file
from definition import Refused

MEASURES = ("fd", "kid", "precision", "recall", "floor_fd", "floor_kid")
SECONDS = ("training_s", "drawing_s", "measuring_s")


class Results:
    """The file. Reading is strict: a number that nobody measured must not get into a table."""

    def __init__(self, path, features):
        self.path = path
        self.numbers = [f"{measure}_{name}" for name in features for measure in MEASURES]
        self.columns = ["arm", "seed", "sampler", "nfe", "made_of", *self.numbers, *SECONDS,
                        "programs", "commands"]
        self.rows = []
        self.read()

    def read(self):
        self.rows = []
        if not self.path.exists():
            return
        text = self.path.read_text()
        if not text.endswith("\n"):
            raise Refused(f'"{self.path}", line {text.count(chr(10)) + 1}: it ends in the middle')
        reader = csv.reader(text.splitlines(keepends=True), strict=True)
        first = {}
        try:
            for fields in reader:
                if reader.line_num == 1 and fields != self.columns:
                    raise ValueError("other columns than those of the definition's features")
                if reader.line_num == 1:
                    continue
                row = self.parse(fields)
                key = tuple(row[name] for name in self.columns[:5])
                if key in first:
                    raise ValueError(f"the same cell as line {first[key]}")
                first[key] = reader.line_num
                self.rows.append(row)
        except (csv.Error, ValueError) as reason:
            raise Refused(f'"{self.path}", line {reader.line_num}: {reason}') from reason

    def parse(self, fields):
        if len(fields) != len(self.columns):
            raise ValueError(f"{len(fields)} fields, not {len(self.columns)}")
        row = dict(zip(self.columns, fields))
        for name in ("seed", "nfe"):
            row[name] = int(row[name])
        for name in (*self.numbers, *SECONDS):
            try:
                row[name] = float(row[name])
            except ValueError as reason:
                raise ValueError(f'"{name}" is "{row[name]}"') from reason
            if not math.isfinite(row[name]):
                raise ValueError(f'"{name}" is {row[name]}')
        return row

    def find(self, cell):
        """Its row, or None."""
        for row in self.rows:
            if (row["arm"], row["seed"], row["sampler"], row["nfe"]) == cell.key():
                if row["made_of"] == cell.made_of:
                    return row
        return None

    def others(self, cells):
        """How many rows are of no cell: of an earlier definition."""
        return len(self.rows) - sum(self.find(cell) is not None for cell in cells)

    def add(self, row):
        """Appends to the file as it is now, which somebody may have changed meanwhile; a whole file
        takes its place, so that a reader never sees half a row. Raises Refused for what is no row."""
        try:
            self.parse([row.get(name, "") for name in self.columns])
        except ValueError as reason:
            raise Refused(f"what was measured is no row: {reason}") from reason
        self.read()
        self.rows.append(row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        whole_file.put(self.path, text.getvalue())
