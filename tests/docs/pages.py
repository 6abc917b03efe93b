"""Tables of the documentation as data, so that tests can compute their figures again."""

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def table(page: str, first_heading: str) -> list[list[str]]:
    """Return the rows of the table of a page whose first column has this heading; cells without back quotes."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows
