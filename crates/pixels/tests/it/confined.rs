//! What a worker cannot do: the system ends it for trying.

use domain::port::{Pixels as _, PixelsError};

use crate::support::{PNG, asking, pool};

#[tokio::test]
async fn files_sockets_threads_and_programs_are_out_of_reach() {
    let pool = pool();
    for (what, thing) in [('5', "a file"), ('6', "a socket"), ('7', "a thread"), ('8', "a program")] {
        let error = pool.show(asking(what), PNG).await.unwrap_err();
        let PixelsError::BrokeDown(why) = &error else { panic!("{thing}: {error:?}") };
        assert_eq!(why, "it made a system call that it may not make", "{thing}");
    }
}
