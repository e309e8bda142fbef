-- How texts of a series are read, as `assume TERMS` or `force TERMS`, where a rule said so when its first image came. For PostgreSQL.
ALTER TABLE series ADD COLUMN character_set TEXT COLLATE "C";
