//! Who may come in: sign-in, sessions, tokens, roles, centres; HTTP manners.
//!
//! [`Gate`] finds out who calls and puts a [`Caller`] beside the request; handlers ask for a [`Caller`], a
//! [`SignedInPerson`] or a [`Reader`] and get none without having been let in. What a caller may not see is answered like
//! what does not exist ([`Problem::unknown`]). Not here: what people and programs may then do; TLS.

mod attempts;
mod caller;
mod check;
mod manners;
mod media;
mod origin;
mod password;
mod problem;
mod query;
mod secret;
mod serve;
mod session;

pub use attempts::{
    ATTEMPT_KEYS_MAX, ATTEMPT_WINDOW, ATTEMPTS_PER_ADDRESS_MAX, ATTEMPTS_PER_LOGIN_MAX, Attempts, TooMany,
    network,
};
pub use caller::{Caller, Program, Reader, SignedInPerson};
pub use check::{
    BACKGROUND_HEADER, ClientAddress, Confirmation, EXTENSION_STEP, Gate, GateConfig, SESSION_COOKIE,
};
pub use manners::{
    ContentPolicy, JSON_BODY_BYTES_MAX, JSON_TIME_MAX, REQUEST_ID_HEADER, RequestId, json_limits, manners,
};
pub use media::MediaRange;
pub use password::{
    HASHES_AT_ONCE, HASHES_WAITING_MAX, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, PasswordError,
    PasswordProblem, check_password, hash_password, random_password, verify_password,
};
pub use problem::{ErrorBody, ErrorDetail, JsonBody, PathPart, Problem, QueryPart};
pub use query::{ACCEPT_BYTES_MAX, PARAMETERS_MAX, QUERY_BYTES_MAX, accepted, parameters};
pub use secret::{TOKEN_PREFIX, fresh_secret, fresh_token};
pub use serve::{HttpLimits, HttpServer};
pub use session::{PersonView, SessionView, SignIn};
