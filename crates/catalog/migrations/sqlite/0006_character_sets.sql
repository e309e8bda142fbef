-- How texts of a series are read, as `assume TERMS` or `force TERMS`, where a rule said so when its first image came. For SQLite.
ALTER TABLE series ADD COLUMN character_set TEXT;
