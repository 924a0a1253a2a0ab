"""``python -m robustdl_lib``: the command line."""

from robustdl_lib.cli import main

if __name__ == "__main__":
    main()
