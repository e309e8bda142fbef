//! Who may come in: sign-in, sessions, tokens, roles, centres; HTTP manners.
