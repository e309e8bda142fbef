-- What images need to go out without being read again; for SQLite.

-- Where the frames of an instance are, of the content with this digest. Beside `instance` and not in it, so that a process of the version
-- before, which reads whole rows of that table, is not disturbed; images that it takes have no row here and are looked into.
CREATE TABLE instance_frames (
    centre TEXT NOT NULL,
    sop_instance TEXT NOT NULL,
    file_sha256 TEXT NOT NULL,
    layout BLOB NOT NULL,
    PRIMARY KEY (centre, sop_instance)
) WITHOUT ROWID;

-- The metadata of a series as one object, made for one generation of its study, in a form, out of contents with one digest.
CREATE TABLE series_document (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    generation BIGINT NOT NULL,
    form TEXT NOT NULL,
    contents TEXT NOT NULL,
    object TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    made BIGINT NOT NULL,
    PRIMARY KEY (centre, study, series),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);

-- Studies that are quiet and whose documents are to be made. Who takes one moves its time on.
CREATE TABLE document_due (
    centre TEXT NOT NULL,
    study TEXT NOT NULL,
    due BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    PRIMARY KEY (centre, study),
    FOREIGN KEY (centre, study) REFERENCES study (centre, study)
);
CREATE INDEX document_due_next ON document_due (due);

-- Lists of one centre, the latest study first: all, and those of a patient, an accession number, a name. Each key has its own, or the first
-- one would be taken for all of them.
CREATE INDEX study_of_centre_latest ON study (centre, study_date DESC, study_time DESC, study);
CREATE INDEX study_of_centre_patient ON study (centre, patient_id, study_date DESC, study_time DESC, study);
CREATE INDEX study_of_centre_accession ON study (centre, accession_number, study_date DESC, study_time DESC, study);
CREATE INDEX study_of_centre_name ON study (centre, patient_name_lower, study_date DESC, study_time DESC, study);
