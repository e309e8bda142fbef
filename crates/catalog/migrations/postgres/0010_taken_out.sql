-- Studies that were taken out and can come back until a moment; for PostgreSQL (decision 19).

-- One row for each such study. From `purging` on it cannot come back: its objects are being removed.
CREATE TABLE taken_out (
    centre TEXT COLLATE "C" NOT NULL REFERENCES centre (id),
    study TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    until BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    purging BIGINT NOT NULL,
    refused_count BIGINT NOT NULL,
    last_refused BIGINT,
    PRIMARY KEY (centre, study)
);
CREATE INDEX taken_out_until ON taken_out (until);

-- Its rows, moved here whole and moved back whole: column for column, in their order, those of the table without `out_`. Whoever adds a
-- column there adds it here in the same migration; a test compares them.
CREATE TABLE out_study (LIKE study);
CREATE INDEX out_study_of ON out_study (centre, study);
CREATE TABLE out_series (LIKE series);
CREATE INDEX out_series_of ON out_series (centre, study);
CREATE TABLE out_series_procedure (LIKE series_procedure);
CREATE INDEX out_series_procedure_of ON out_series_procedure (centre, study);
CREATE TABLE out_instance (LIKE instance);
CREATE INDEX out_instance_of ON out_instance (centre, study);
CREATE TABLE out_instance_frames (LIKE instance_frames);
CREATE INDEX out_instance_frames_of ON out_instance_frames (centre, sop_instance);
CREATE TABLE out_draft (LIKE draft);
CREATE INDEX out_draft_of ON out_draft (centre, study);
CREATE TABLE out_working_copy (LIKE working_copy);
CREATE INDEX out_working_copy_of ON out_working_copy (centre, study);
CREATE TABLE out_patient_conflict (LIKE patient_conflict);
CREATE INDEX out_patient_conflict_of ON out_patient_conflict (centre, study);
CREATE TABLE out_patient_conflict_image (LIKE patient_conflict_image);
CREATE INDEX out_patient_conflict_image_of ON out_patient_conflict_image (centre, sop_instance);
CREATE TABLE out_conflict (LIKE conflict);
CREATE INDEX out_conflict_of ON out_conflict (centre, study);
CREATE TABLE out_task (LIKE task);
CREATE INDEX out_task_of ON out_task (centre, study);
CREATE TABLE out_damaged_object (LIKE damaged_object);
CREATE INDEX out_damaged_object_of ON out_damaged_object (centre, study);
CREATE INDEX out_instance_object ON out_instance (object);
CREATE INDEX out_instance_uid ON out_instance (centre, sop_instance);

-- What a process of the version before would do, since it does not know of the above: make the study again of an image that comes, and
-- sweep its objects as leftovers. An image that came since is a leftover.
CREATE FUNCTION study_stays_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM taken_out t WHERE t.centre = NEW.centre AND t.study = NEW.study) THEN
        RAISE EXCEPTION 'this study was taken out';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER study_stays_out BEFORE INSERT ON study FOR EACH ROW EXECUTE FUNCTION study_stays_out();

CREATE FUNCTION removal_spares_taken_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM taken_out t WHERE t.centre = NEW.centre AND t.purging = 0
        AND starts_with(NEW.object, t.centre || '/' || t.study || '/')
        AND (strpos(NEW.object, '.dcm') = 0
            OR EXISTS (SELECT 1 FROM out_instance o WHERE o.object = NEW.object)
            OR EXISTS (SELECT 1 FROM out_conflict c WHERE c.centre = t.centre AND c.study = t.study
                AND strpos(c.arrival || COALESCE(c.replaced, ''), '"' || NEW.object || '"') > 0))) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER removal_spares_taken_out BEFORE INSERT ON removal FOR EACH ROW EXECUTE FUNCTION removal_spares_taken_out();
