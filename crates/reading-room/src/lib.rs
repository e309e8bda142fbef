//! Do: a person reads and signs. src/ is the API, web/ the TypeScript UI.
