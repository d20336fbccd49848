"""The picture in README.md: two parts of the demo's report, one above the other.

karat demo -o demo-run && python scripts/make_readme_picture.py demo-run/report.html -o docs/images/report.png
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, sync_playwright

WIDTH, GALLERY_HEIGHT = 1040, 545


def picture(part: Locator) -> Image.Image:
    return Image.open(io.BytesIO(part.screenshot())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        page.goto(arguments.report.resolve().as_uri())
        summary = picture(page.locator("section.summary"))
        lowest = picture(page.locator("section.gallery"))
        browser.close()
    lowest = lowest.crop((0, 0, lowest.width, GALLERY_HEIGHT))
    whole = Image.new("RGB", (summary.width, summary.height + 24 + lowest.height), "white")
    whole.paste(summary, (0, 0))
    whole.paste(lowest, (0, summary.height + 24))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    whole.save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
