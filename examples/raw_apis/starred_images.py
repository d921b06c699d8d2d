"""List the starred images, and save them. Needs a running InvokeAI (INVOKEAI_URL).

python examples/raw_apis/starred_images.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient


def main(folder: Path) -> None:
    """Save every starred image under its name on the server."""
    with InvokeAIClient() as client:
        folder.mkdir(parents=True, exist_ok=True)
        count = 0
        for image in client.images.starred():
            file = folder / Path(image.image_name).name
            client.images.download(image.image_name, file)
            print(f"{file.name}: {image.width} x {image.height}")
            count += 1
        print(f"{count} starred images")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "images"))
