//! Pixel work in the process of a test: the same work, without the processes that `pixels` keeps. And a pool that is always full.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    pixel::{PixelSource, Recoded, Showing, Shown},
    port::{Pixels, PixelsError},
    uid::TransferSyntaxUid,
};
use imaging::{
    codec::Target,
    work::{Done, Failure, FailureKind, Job},
};

/// Does the work at once, in this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct InProcess;

impl InProcess {
    /// As the port.
    #[must_use]
    pub fn port() -> Arc<dyn Pixels> {
        Arc::new(Self)
    }

    async fn perform(job: Job) -> Result<Done, PixelsError> {
        let done = tokio::task::spawn_blocking(|| job.perform()).await;
        match done.map_err(|error| PixelsError::BrokeDown(error.to_string()))? {
            Done::Failed(Failure { kind: FailureKind::Unsupported, why }) => {
                Err(PixelsError::Unsupported(why))
            }
            Done::Failed(Failure { kind: FailureKind::Broken, why }) => Err(PixelsError::Broken(why)),
            Done::Failed(Failure { kind: FailureKind::BrokeDown, why }) => Err(PixelsError::BrokeDown(why)),
            done => Ok(done),
        }
    }
}

#[async_trait]
impl Pixels for InProcess {
    async fn show(&self, source: PixelSource, how: Showing) -> Result<Shown, PixelsError> {
        match Self::perform(Job::Show(source, how)).await? {
            Done::Shown(shown) => Ok(shown),
            other => panic!("shown as {other:?}"),
        }
    }

    async fn recode(&self, source: PixelSource, to: TransferSyntaxUid) -> Result<Recoded, PixelsError> {
        let target = Target::of(to.as_str()).ok_or_else(|| PixelsError::Unsupported(to.to_string()))?;
        match Self::perform(Job::Recode(source, target)).await? {
            Done::Recoded(recoded) => Ok(recoded),
            other => panic!("recoded as {other:?}"),
        }
    }
}

/// Takes no work: says so at once, or never says anything.
#[derive(Debug, Clone, Copy)]
pub enum Idle {
    /// Says that it is busy.
    Busy,
    /// Lets everybody wait.
    Stuck,
}

impl Idle {
    async fn wait(self) -> PixelsError {
        match self {
            Self::Busy => PixelsError::Busy,
            Self::Stuck => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Pixels for Idle {
    async fn show(&self, _: PixelSource, _: Showing) -> Result<Shown, PixelsError> {
        Err(self.wait().await)
    }

    async fn recode(&self, _: PixelSource, _: TransferSyntaxUid) -> Result<Recoded, PixelsError> {
        Err(self.wait().await)
    }
}
