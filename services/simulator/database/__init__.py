"""The pool's database: rows, references kept in step, generations, and waiting for change."""
