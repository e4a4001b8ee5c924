"""Look at a report as a browser shows it, and find every figure there.

    python scripts/check_report.py [report.html] [--screenshot FILE]

Without a report a short training makes one. Headless Chromium lays the page out; a copy of the page with a
few lines of script tells where each figure stands; a screenshot is taken; and at each place the pixels must
look like the picture that the report holds. So a figure that is missing, empty, covered, cut off or not loaded
is an error, and so is a request for anything outside the file.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH = 1200
EXPECTED = ("curves", "confusion", "mistakes", "filters", "timings")
# Appended to the copy only: the report itself has no script.
PROBE = """<pre id="probe"></pre><script>
addEventListener("load", () => {
const boxes = {};
for (const figure of document.querySelectorAll("figure")) {
  const image = figure.querySelector("img"), box = image.getBoundingClientRect();
  boxes[figure.id] = {left: box.left, top: box.top, width: box.width, height: box.height,
                      loaded: image.complete && image.naturalWidth > 0};
}
document.getElementById("probe").textContent = JSON.stringify(
  {boxes, height: document.documentElement.scrollHeight, overflow: document.documentElement.scrollWidth > innerWidth});
});
</script>"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path, nargs="?")
    parser.add_argument("--screenshot", type=Path, help="where to keep the screenshot")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        report = options.report or make_report(Path(work))
        expected = EXPECTED if options.report is None else ()
        found = check(report, Path(work), expected, options.screenshot)
    print(f"{report.name}: {len(found)} figures found on the page: {', '.join(found)}")


def make_report(work: Path) -> Path:
    from minicnn.train.recipe import Recipe, run

    return run(Recipe(epochs=2), out=work / "run", quiet=True).folder.report_file


def check(report: Path, work: Path, expected: tuple[str, ...], keep: Path | None = None) -> list[str]:
    """The names of the figures. Exits with a message at the first that is not there."""
    html = report.read_text(encoding="utf-8")
    outside = re.findall(r'(?:src|href)="(?!data:|#)([^"]+)"|url\((?!data:)([^)]+)\)', html)
    if outside or "<script" in html:
        sys.exit(f"{report} asks for something outside itself, or holds a script: {outside[:3]}")
    probe = work / "probe.html"
    probe.write_text(html.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    dom = browser(work, probe, "--dump-dom", height=1000)
    match = re.search(r'<pre id="probe"[^>]*>(.*?)</pre>', dom, re.DOTALL)
    if match is None or not match[1]:
        sys.exit("Chromium did not run the probe")
    layout = json.loads(unescape(match[1]))
    if layout["overflow"]:
        sys.exit("the page is wider than the window")
    picture = work / "screenshot.png"
    browser(work, report, f"--screenshot={picture}", height=int(layout["height"]) + 50)
    if keep is not None:
        shutil.copy(picture, keep)
    shown = Image.open(picture).convert("RGB")
    boxes: dict[str, Any] = layout["boxes"]
    missing = [name for name in expected if name not in boxes]
    if missing:
        sys.exit(f"the page lacks the figures {missing}")
    if not boxes:
        sys.exit("the page has no figure")
    for name, box in boxes.items():
        look_at(name, box, shown, html)
    return list(boxes)


def browser(work: Path, page: Path, action: str, height: int) -> str:
    program = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        None,
    )
    if program is None:
        sys.exit("Chromium is missing: apt-get install chromium")
    profile = tempfile.mkdtemp(dir=work)
    done = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=10000", "--force-device-scale-factor=1",
         f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}", action, page.resolve().as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"Chromium ended with status {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def look_at(name: str, box: dict[str, Any], shown: Image.Image, html: str) -> None:
    """The pixels of the screenshot at a figure's place are its picture's."""
    if not box["loaded"]:
        sys.exit(f"the browser could not load the figure {name}")
    left, top, width, height = (round(box[side]) for side in ("left", "top", "width", "height"))
    if (
        min(width, height) < 50
        or left < 0
        or top < 0
        or left + width > shown.width
        or top + height > shown.height
    ):
        sys.exit(f"the figure {name} is at a strange place: {box}")
    crop = np.asarray(shown.crop((left, top, left + width, top + height)).convert("L"), float)
    if crop.std() < 5 or len(np.unique(crop)) < 10:
        sys.exit(f"the place of the figure {name} is blank")
    match = re.search(
        rf'<figure id="{re.escape(name)}"><img [^>]*src="data:image/(png|svg\+xml);base64,([^"]+)"', html
    )
    if match is None:
        sys.exit(f"the figure {name} holds no picture")
    if match[1] == "png":
        with Image.open(io.BytesIO(base64.b64decode(match[2]))) as own:
            expected = np.asarray(own.convert("L").resize((width, height), Image.Resampling.LANCZOS), float)
        likeness = float(np.corrcoef(crop.ravel(), expected.ravel())[0, 1])
        if likeness < 0.9:
            sys.exit(f"the figure {name} does not look like its picture: correlation {likeness:.2f}")
        return
    # An SVG has no pixels of its own: something must be drawn in each quarter of it.
    for rows in np.array_split(crop, 2):
        for part in np.array_split(rows, 2, axis=1):
            if part.std() < 2:
                sys.exit(f"a quarter of the figure {name} is blank")


if __name__ == "__main__":
    main()
