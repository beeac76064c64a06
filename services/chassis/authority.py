"""``python -m services.chassis.authority DIRECTORY NAME[=HOST,HOST]...``: what ``xenkeep init`` runs.

Makes the authority in DIRECTORY unless there is one, and a certificate for each NAME. Repeating it changes
nothing; giving a name more hosts makes its certificate again from the same key.
"""

import sys
from pathlib import Path

from xenkeep import status

from services.chassis import pki
from services.chassis.errors import XenkeepError


def main(arguments: list[str]) -> int:
    directory = Path(arguments[0])
    try:
        pki.create_authority(directory)
        for argument in arguments[1:]:
            name, _, hosts = argument.partition("=")
            pki.issue(directory, name, filter(None, hosts.split(",")))
    except XenkeepError as error:
        sys.stderr.write(f"{error}\n")
        return status.of_kind(error.kind).exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
