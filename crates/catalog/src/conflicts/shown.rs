//! Which images a study shows, and what follows when a decision changes that.

use domain::{
    Timestamp,
    study::{Belief, StudyKey},
    task::{NewTask, TaskKind},
};

use crate::{
    database::Change,
    error::Problem,
    images::row,
    outbox,
    sql::{Columns as _, Sql},
    trail::open_task,
};

/// The condition that a row of `instance` is shown, to stand behind another one. Hardly any image is part of a conflict, so that this is a
/// look into an empty index.
pub(crate) const SHOWN: &str = " AND NOT EXISTS (SELECT 1 FROM patient_conflict_image p WHERE p.centre = instance.centre \
     AND p.sop_instance = instance.sop_instance AND p.aside IS NOT NULL)";

/// Other images of a study are shown than before: counts them anew, makes its draft stale, asks for another one, and tells people when
/// the study is signed. The study is locked by who calls this.
pub(super) async fn shown_anew(change: &mut Change, key: &StudyKey, at: Timestamp) -> Result<(), Problem> {
    let Some(row) = row::lock(change, key).await? else { return Ok(()) };
    let is_signed = row.signed_version() > 0;
    let mut study = row.study;
    let mut series = Sql::new(
        "UPDATE series SET instance_count = (SELECT COUNT(*) FROM instance WHERE instance.centre = series.centre
             AND instance.study = series.study AND instance.series = series.series",
    );
    series.push(SHOWN).push(") WHERE centre = ").value(&key.centre).push(" AND study = ").value(&key.uid);
    series.execute(change).await?;
    let shown = Sql::new(
        "SELECT modality FROM series WHERE centre = $1 AND study = $2 AND instance_count > 0 ORDER BY modality",
    );
    let series = shown.bind(&key.centre).bind(&key.uid).all(change).await?;
    study.series_count = u32::try_from(series.len()).unwrap_or(u32::MAX);
    study.modalities.clear();
    for row in series {
        let modality = row.text_maybe("modality")?.filter(|modality| !modality.is_empty());
        study.modalities.extend(modality);
    }
    study.modalities.sort();
    study.modalities.dedup();
    let mut totals = Sql::new(
        "SELECT COUNT(*) AS images, CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM instance WHERE centre = ",
    );
    totals.value(&key.centre).push(" AND study = ").value(&key.uid).push(SHOWN);
    let totals = totals.first(change).await?.ok_or(Problem::Missing("images"))?;
    (study.instance_count, study.bytes) = (totals.number("images")?, totals.number("bytes")?);
    study.generation += 1;
    row::write_counts(change, &study).await?;
    if is_signed {
        open_task(change, &changed_after_signature(key), at).await?;
    }
    if study.instance_count == 0 {
        return Ok(());
    }
    let due = match study.completeness.belief {
        Belief::Arriving { decide_at } => decide_at,
        Belief::Complete { .. } | Belief::Short { .. } => at,
    };
    outbox::study_stored(change, key, study.priority, due).await
}

fn changed_after_signature(key: &StudyKey) -> NewTask {
    NewTask {
        centre: key.centre.clone(),
        study: Some(key.uid.clone()),
        kind: TaskKind::ImagesAfterSignature,
        subject: key.uid.to_string(),
        reason: "A decision on a conflict changed the images after the report was signed.".to_owned(),
        next_step: "Look at the images again and sign an addendum if they change the report.".to_owned(),
    }
}
