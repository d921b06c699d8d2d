"""Save the newest image, and say how it was made. Needs a running InvokeAI (INVOKEAI_URL).

python examples/raw_apis/latest_image.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient


def main(folder: Path) -> None:
    """Save the newest result as a PNG."""
    with InvokeAIClient() as client:
        images = client.images.latest()
        if not images:
            sys.exit(f"{client.url} has made no image yet")
        (image,) = images
        folder.mkdir(parents=True, exist_ok=True)
        size = client.images.download(image.image_name, folder / "latest.png")
        print(f"latest.png: {image.width} x {image.height}, {size} bytes, made at {image.created_at:%Y-%m-%d %H:%M}")
        prompt = client.images.metadata(image.image_name).get("positive_prompt")
        workflow = client.images.workflow(image.image_name)
        print(f"prompt: {prompt or 'not known'}; workflow: {workflow['name'] if workflow else 'none'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "images"))
