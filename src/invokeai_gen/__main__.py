"""`python -m invokeai_gen` is the command `invokeai-gen`."""

from invokeai_gen.cli import main

main()
