"""Owns the table: how it is made, which columns it may have, and what is said of one that can never work.

It is the one that the npm package connect-pg-simple makes (its table.sql). A table that others have made is taken where
that package is content with it. This file must not know how a statement reaches the server.
"""

from collections.abc import Mapping

from ...errors import StoreError

_TYPES = {
    "sid": ("character varying", "text"),
    "sess": ("json", "jsonb", "text"),
    "expire": ("timestamp without time zone", "timestamp with time zone"),
}
"""Which types a column may have; the first is table.sql's. An ORM's schema often has one of the others."""

NODES = {name: kinds[0] for name, kinds in _TYPES.items()}
"""The columns of table.sql."""

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""What a role needs on the table."""


def quoted(name: str) -> str:
    """Return a name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a literal."""
    return "'" + text.replace("'", "''") + "'"


class Table:
    """A table by its name, and the schema's; without a schema it is searched for as the connection searches."""

    def __init__(self, table: str, schema: str | None = None) -> None:
        name = quoted(table) if schema is None else f"{quoted(schema)}.{quoted(table)}"
        self.name: str = name
        """The name as SQL has it."""
        self.table: str = table
        self.schema: str | None = schema
        """The schema's name."""

        # As table.sql. Of another table Node calls key and index the same once more, and fails where both are wanted.
        # Of several that make it at once one does, the others fail when it has.
        make = f"""
            BEGIN
                CREATE TABLE {name} (
                    "sid" varchar NOT NULL COLLATE "default",
                    "sess" json NOT NULL,
                    "expire" timestamp(6) NOT NULL
                );
                ALTER TABLE {name} ADD CONSTRAINT {quoted(f"{table}_pkey")}
                    PRIMARY KEY ("sid") NOT DEFERRABLE INITIALLY IMMEDIATE;
                CREATE INDEX {quoted(f"IDX_{table}_expire")} ON {name} ("expire");
            EXCEPTION WHEN duplicate_table OR duplicate_object OR unique_violation THEN
                NULL;
            END
        """
        self.make: str = f"DO {literal(make)}"
        self.columns: str = """
            SELECT attname, atttypid::regtype::text FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
        """
        self.lacking: str = """
            SELECT current_user, ARRAY(SELECT each FROM unnest($2::text[]) AS each
                                       WHERE NOT has_table_privilege(to_regclass($1), each))
        """
        """Who asks, and which rights it has not."""

    def beside(self, name: str) -> str:
        """Return the name of what is in the table's schema, as SQL has it."""
        return quoted(name) if self.schema is None else f"{quoted(self.schema)}.{quoted(name)}"

    def check(self, store: str, columns: Mapping[str, str]) -> None:
        """Raise StoreError, naming what is wrong, for columns (types by name) that the sessions have no room in."""
        wrong = wrong_columns(columns)
        if wrong:
            raise StoreError(f"{store}: the table {self.name} is no table of sessions: {wrong}")

    def advice(self, sqlstate: str, column: str | None, role: str, lacking: list[str]) -> str:
        """Return what to do about a write that the table refuses, to be read behind PostgreSQL's words; "" if unknown.

        `lacking` are the rights that the role has not, `column` is the one that the refusal names.
        """
        match sqlstate:
            case "42P10":
                return f"; sid needs a key: ALTER TABLE {self.name} ADD PRIMARY KEY (sid)"
            case "42501" if lacking:
                rights, who = ", ".join(RIGHTS), quoted(role)
                return f"; the role lacks {', '.join(lacking)}: GRANT {rights} ON {self.name} TO {who}"
            case "23502" if column:
                alter = f"ALTER TABLE {self.name} ALTER COLUMN {quoted(column)}"
                return f"; neither we nor connect-pg-simple fill that column: {alter} SET DEFAULT …, or DROP NOT NULL"
            case "22001":
                return f"; an id has 32 characters or more: ALTER TABLE {self.name} ALTER COLUMN sid TYPE varchar"
            case "55000":
                return "; the key on sid has to be NOT DEFERRABLE"
        return ""


def wrong_columns(columns: Mapping[str, str]) -> str:
    """Return which columns (types by name) the sessions have no room in, and what was expected; "" for none."""
    wrong = {name: columns.get(name, "missing") for name in _TYPES if columns.get(name) not in _TYPES[name]}
    found = ", ".join(f"{name} is {kind}" for name, kind in wrong.items())
    wanted = ", ".join(f"{name} {' or '.join(_TYPES[name])}" for name in wrong)
    return f"{found}; expected {wanted}" if wrong else ""
