import { useState, type FormEvent } from "react";
import { asApiError, type ApiError } from "../api/client";
import { Dialog } from "../ui/Dialog";
import { Problem } from "../ui/Problem";
import { useTitle } from "./useTitle";

type OnSignIn = (login: string, password: string) => Promise<void>;

export function SignInPage({ onSignIn }: { onSignIn: OnSignIn }) {
  useTitle("Sign in");
  return (
    <main className="sign-in-page">
      <section className="sign-in-card" aria-labelledby="sign-in-title">
        <p className="product">telerad</p>
        <h1 id="sign-in-title">Reading room</h1>
        <SignInForm login="" onSignIn={onSignIn} />
      </section>
    </main>
  );
}

/** Over the page one was on, which stays as it is underneath. */
export function SignInAgain({ login, onSignIn }: { login: string; onSignIn: OnSignIn }) {
  return (
    <Dialog title="Your session has ended" className="sign-in-again" testId="session-ended">
      <p>Sign in again to go on where you were. Text that is not saved yet is kept in this window.</p>
      <SignInForm login={login} onSignIn={onSignIn} />
    </Dialog>
  );
}

function SignInForm({ login: known, onSignIn }: { login: string; onSignIn: OnSignIn }) {
  const [login, setLogin] = useState(known);
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    onSignIn(login.trim(), password).catch((thrown: unknown) => {
      setError(asApiError(thrown));
      setPassword("");
      setBusy(false);
    });
  };

  return (
    <form className="sign-in-form" onSubmit={submit} data-testid="sign-in-form">
      <label>
        Login
        <input
          name="login"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          required
          autoFocus={known === ""}
          value={login}
          onChange={(event) => setLogin(event.target.value)}
        />
      </label>
      <label>
        Password
        <input
          name="password"
          type="password"
          autoComplete="current-password"
          required
          data-focus={known !== "" ? "" : undefined}
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
      </label>
      {error && <Problem error={error} />}
      <button className="primary" type="submit" disabled={busy}>
        {busy ? "Signing in…" : "Sign in"}
      </button>
    </form>
  );
}
