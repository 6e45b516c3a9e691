"""The schema of a database: its revisions, its tables and who may do what with them."""
