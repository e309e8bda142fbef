//! Tasks that wait for people, and the audit.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    id::{CentreId, PersonId, TaskId},
    person::Scope,
    study::StudyKey,
    task::{NewTask, Task},
};

/// Tasks and audit.
#[async_trait]
pub trait Trail {
    /// Opens a task, unless one of the same centre, kind and subject is open.
    async fn open_task(&self, task: &NewTask, at: Timestamp) -> Known<TaskId>;

    /// Tasks, open ones first, the oldest first.
    async fn tasks(&self, filter: &TaskFilter) -> Known<Vec<Task>>;

    /// Closes a task; `None` when there is no such open task in the scope.
    async fn close_task(
        &self,
        id: TaskId,
        scope: &Scope,
        by: PersonId,
        note: &str,
        at: Timestamp,
    ) -> Known<Option<Task>>;

    /// Writes that something was seen or tried, where no other change is made.
    async fn record(
        &self,
        actor: &Actor,
        action: Action,
        study: Option<&StudyKey>,
        detail: &str,
        at: Timestamp,
    ) -> Known<()>;

    /// The audit of a study, oldest first, at most `limit`.
    async fn study_trail(&self, study: &StudyKey, limit: u32) -> Known<Vec<AuditEvent>>;

    /// The audit of a centre (or what belongs to none), latest first, at most `limit`.
    async fn trail(&self, centre: Option<&CentreId>, limit: u32) -> Known<Vec<AuditEvent>>;

    /// Shows that the catalog answers and can be written.
    async fn check(&self) -> Known<()>;
}

/// Which tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFilter {
    /// Whose.
    pub scope: Scope,
    /// Only of this study.
    pub study: Option<StudyKey>,
    /// Also closed ones.
    pub closed: bool,
    /// At most so many.
    pub limit: u32,
}
