"""Draws bench/plots/scale-*.svg from scale.json: `python -m measure.scale_plots FILE FOLDER`, with matplotlib at hand."""

import json
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot  # noqa: E402

from .scale import CURVES  # noqa: E402

# Text stays text, and the same figures give the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pollux", "font.size": 9})
COLOUR, SHADE = "#c2410c", "#fed7aa"


def draw(curve, points, folder):
    """A panel per figure, a line of medians; the shade is from the least to the most."""
    figure, axes = pyplot.subplots(1, len(curve.figures), figsize=(3.6 * len(curve.figures), 2.8), squeeze=False)
    sizes = [point["size"] for point in points]
    for place, (name, (heading, _)) in zip(axes[0], curve.figures.items()):
        runs = [point[name] for point in points]
        place.fill_between(sizes, [min(run) for run in runs], [max(run) for run in runs], color=SHADE)
        place.plot(sizes, [statistics.median(run) for run in runs], color=COLOUR, marker="o", markersize=3)
        place.set_xscale("symlog" if 0 in sizes else "log")
        place.set_ylim(bottom=0)
        place.set_title(heading, fontsize=9)
        place.set_xlabel(curve.unit)
        place.spines[["top", "right"]].set_visible(False)
    figure.suptitle(curve.title.replace("`", ""))
    figure.tight_layout()
    path = folder / f"scale-{curve.name}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def main():
    measured = json.loads(pathlib.Path(sys.argv[1]).read_text())["curves"]
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    for name, found in measured.items():
        if found["points"]:
            print(draw(CURVES[name], found["points"], folder))


if __name__ == "__main__":
    main()
