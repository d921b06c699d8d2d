"""Make images with a generated module. Needs a running InvokeAI (INVOKEAI_URL, else http://localhost:9090), no models.

python examples/demo.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import sunset_poster

MOODS = {
    "evening": sunset_poster.Params(),
    "dawn": sunset_poster.Params(title="First light", sky_color="#2b4c7e", horizon_color="#f6a5c0", sun_size=90),
}


def main(folder: Path) -> None:
    """Run the workflow once for each mood and save what comes out."""
    folder.mkdir(parents=True, exist_ok=True)
    for mood, params in MOODS.items():
        outputs = sunset_poster.run(params)
        outputs.poster.save(folder / f"{mood}.png")
        outputs.pixel_art.save(folder / f"{mood}-pixels.png")
        print(f"{folder / mood}.png  {outputs.poster.width} x {outputs.poster.height}, and a small one")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "images"))
