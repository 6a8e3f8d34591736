"""Comparison on the workload `images_4096`; see compare.py."""

from compare import main

if __name__ == "__main__":
    main("images_4096")
