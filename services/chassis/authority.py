"""``python -m services.chassis.authority DIRECTORY NAME[=HOST,HOST]... [--renew]``: ``xenkeep init``.

Makes the authority in DIRECTORY unless there is one, and a certificate for each NAME. Repeating it changes
nothing but certificates that end soon; giving a name more hosts, or ``--renew``, makes its certificate again
from the same key.
"""

import sys
from pathlib import Path

from xenkeep import status

from services.chassis import pki
from services.chassis.errors import XenkeepError


def main(arguments: list[str]) -> int:
    renew = "--renew" in arguments
    directory, *names = [argument for argument in arguments if argument != "--renew"]
    try:
        pki.create_authority(Path(directory))
        for argument in names:
            name, _, hosts = argument.partition("=")
            pki.issue(Path(directory), name, filter(None, hosts.split(",")), renew=renew)
    except XenkeepError as error:
        sys.stderr.write(f"{error}\n")
        return status.of_kind(error.kind).exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
