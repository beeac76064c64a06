"""What people get wrong: names of nothing, and files that are no policies."""

ZERO_ID = "00000000-0000-4000-8000-000000000000"

POLICIES = {
    "binary": (b"\x00\x01\xff", "FILE_INVALID", "is not a policy: 'utf-8' codec can't decode"),
    "list": (b"- a\n- b\n", "FILE_INVALID", "it does not hold keys and values"),
    "empty": (b"", "FILE_INVALID", "it does not hold keys and values"),
    "unknown keys": (
        b"name: p\nrepository: main\nall: true\nfrequency: 3\ncolour: red\n",
        "FILE_INVALID",
        "frequency: there is no such key; colour: there is no such key.",
    ),
    "no repository": (b"name: p\nall: true\n", "FILE_INVALID", "repository: it is missing."),
    "nothing selected": (b"name: p\nrepository: main\n", "FILE_INVALID", "it selects no VMs"),
    "unknown method": (
        b"name: p\nrepository: main\nall: true\nmethod: magic\n",
        "FILE_INVALID",
        "method: Input should be 'normal', 'offline', 'memory' or 'quiesced'",
    ),
    "cron that never fires": (
        b'name: p\nrepository: main\nall: true\nschedule: "0 0 30 2 *"\n',
        "SCHEDULE_NEVER_FIRES",
        "The schedule '0 0 30 2 *' would never fire",
    ),
    "no cron": (
        b'name: p\nrepository: main\nall: true\nschedule: "often"\n',
        "SCHEDULE_INVALID",
        "The schedule 'often' cannot be used",
    ),
    "no time zone": (
        b"name: p\nrepository: main\nall: true\ntime_zone: Mars/Base\n",
        "TIME_ZONE_UNKNOWN",
        "There is no time zone 'Mars/Base'.",
    ),
    "no name": (b"name: '../x'\nrepository: main\nall: true\n", "NAME_INVALID", "../x"),
}

UNKNOWN = {
    "pool": (("pool", "show", "nope"), "POOL_UNKNOWN", "There is no pool 'nope'."),
    "pool of VMs": (("vm", "list", "--pool", "nope"), "POOL_UNKNOWN", "There is no pool 'nope'."),
    "VM": (("vm", "show", "nope"), "VM_UNKNOWN", "There is no VM 'nope'."),
    "VM to back up": (("backup", "nope", "--to", "main", "--wait"), "VM_NOT_FOUND", "There is no VM 'nope'"),
    "repository": (("repo", "show", "nope"), "REPOSITORY_NOT_FOUND", "There is no repository 'nope'."),
    "repository to back up to": (("backup", "web", "--to", "nope"), "REPOSITORY_NOT_FOUND", "'nope'"),
    "policy": (("run", "start", "nope"), "POLICY_NOT_FOUND", "There is no policy nope."),
    "run": (("run", "show", ZERO_ID), "RUN_NOT_FOUND", f"There is no run {ZERO_ID}."),
    "point": (("restore", "12345678"), "RESTORE_POINT_NOT_FOUND", "There is no restore point 12345678."),
    "point too short": (("point", "show", "1"), "RESTORE_POINT_NOT_FOUND", "There is no restore point 1."),
    "channel": (("notify", "test", "nope"), "CHANNEL_NOT_FOUND", "There is no channel 'nope'."),
}
