//! Keep: what we know, in SQLite or PostgreSQL.
