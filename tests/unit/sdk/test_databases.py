"""Each service is told its own database and nobody else's."""

from xenkeep.local.databases import database_of, without_databases

ALL = {"XENKEEP_DATABASE_URL": "postgresql+asyncpg://all", "PATH": "/bin"}
CATALOG = {"XENKEEP_CATALOG_DATABASE_URL_FILE": "/run/secrets/catalog"}


def test_without_one_there_is_nothing_to_tell() -> None:
    assert {} == database_of("catalog", {"PATH": "/bin", "XENKEEP_DATABASE_URL": ""})


def test_one_for_all_is_told_to_each() -> None:
    assert {"XENKEEP_DATABASE_URL": "postgresql+asyncpg://all"} == database_of("catalog", ALL)


def test_the_services_own_is_told_instead() -> None:
    assert {"XENKEEP_DATABASE_URL_FILE": "/run/secrets/catalog"} == database_of("catalog", ALL | CATALOG)
    assert {"XENKEEP_DATABASE_URL": "postgresql+asyncpg://all"} == database_of("mover", ALL | CATALOG)


def test_no_other_program_hears_of_it() -> None:
    assert {"PATH": "/bin"} == without_databases(ALL | CATALOG)
