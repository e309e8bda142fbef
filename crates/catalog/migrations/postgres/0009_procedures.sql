-- When a series was performed and which requests it answers (PS3.3 table 10-9), as its first image said; for PostgreSQL. Beside `series`
-- and not in it, so that a process of the version before, which reads whole rows of that table, is not disturbed; series that it takes
-- have no row here.
CREATE TABLE series_procedure (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    performed_date TEXT,
    performed_time TEXT,
    requests TEXT NOT NULL,
    PRIMARY KEY (centre, study, series),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);
