"""Upload a picture, look at what the server keeps of it, and delete it. Needs a running InvokeAI (INVOKEAI_URL).

python examples/raw_apis/upload_image.py PICTURE
"""

from __future__ import annotations

import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient


def main(picture: Path) -> None:
    """Upload the picture, and read it back as it is and as a thumbnail."""
    with InvokeAIClient() as client:
        image = client.images.upload(picture)
        print(f"uploaded: {image.width} x {image.height}, category {image.image_category}")
        print(f"file: {len(client.images.read(image.image_name))} bytes")
        print(f"thumbnail: {len(client.images.thumbnail(image.image_name))} bytes")
        print(f"deleted: {len(client.images.delete(image.image_name).deleted)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/raw_apis/upload_image.py PICTURE")
    main(Path(sys.argv[1]))
