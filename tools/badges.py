"""Name the project's public repository and put its Colab badges into all notebooks (`make badges`)."""

import argparse
import sys

from helpers.files import InputError
from tools.build_notebooks import build_all
from tools.generated_cells import write_repository


def main(arguments=None):
    """Command line: owner/name of the repository on GitHub; exit code 2 when it is no such name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", help="owner/name on GitHub")
    options = parser.parse_args(arguments)
    try:
        write_repository(options.repository)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    build_all(cells_only=True)
    print(f"The notebooks open from {options.repository} now; commit and push them to its branch main.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
