"""Create a board, put a picture on it, list what is there, and delete both. Needs a running InvokeAI (INVOKEAI_URL).

python examples/raw_apis/boards.py PICTURE
"""

from __future__ import annotations

import sys
from pathlib import Path

from invokeai_gen import InvokeAIClient


def main(picture: Path) -> None:
    """Show what a handle on a board can do."""
    with InvokeAIClient() as client, client.boards.temporary("An example", images="delete") as board:
        handle = client.boards.handle(board.board_id)
        image = handle.upload(picture)
        print(f"on {board.board_name}: {', '.join(f'{item.width} x {item.height}' for item in handle.list())}")
        handle.star(image.image_name)
        print(f"starred: {client.images.get(image.image_name).starred}")
        handle.remove(image.image_name)
        print(f"left on it: {len(handle.image_names())}")
        handle.add(image.image_name)
        print(f"moved back: {len(handle.image_names())}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/raw_apis/boards.py PICTURE")
    main(Path(sys.argv[1]))
