/** Who is signed in. A session that ends keeps the page and its text; signing in again goes on where one was. */

import { createContext, use, useCallback, useEffect, useState } from "react";
import * as calls from "../api/calls";
import { asApiError, onSessionEnd, type ApiError } from "../api/client";
import type { Person } from "../api/types";
import { dropAll } from "../report/editors";

export type Session =
  | { state: "asking" }
  | { state: "unreachable"; error: ApiError }
  | { state: "out" }
  | { state: "in"; person: Person }
  | { state: "ended"; person: Person };

export interface SessionHandle {
  session: Session;
  /** Goes up with every signing in, so that polling pages ask at once. */
  round: number;
  signIn: (login: string, password: string) => Promise<void>;
  signOut: () => Promise<void>;
  askAgain: () => void;
}

export function useSessionState(): SessionHandle {
  const [session, setSession] = useState<Session>({ state: "asking" });
  const [round, setRound] = useState(0);

  const askAgain = useCallback(() => {
    calls.whoAmI().then(
      (person) => setSession({ state: "in", person }),
      (thrown: unknown) => {
        const error = asApiError(thrown);
        setSession(error.status === 401 ? { state: "out" } : { state: "unreachable", error });
      },
    );
  }, []);
  useEffect(askAgain, [askAgain]);

  useEffect(
    () => onSessionEnd(() => setSession((now) => (now.state === "in" ? { state: "ended", person: now.person } : now))),
    [],
  );

  const signIn = async (login: string, password: string) => {
    const person = await calls.signIn(login, password);
    if (session.state === "ended" && session.person.id !== person.id) dropAll();
    setSession({ state: "in", person });
    setRound((count) => count + 1);
  };

  const signOut = async () => {
    await calls.signOut();
    dropAll();
    setSession({ state: "out" });
  };

  return { session, round, signIn, signOut, askAgain };
}

export interface SignedIn {
  person: Person;
  round: number;
  /** Whether asking the server makes sense now. */
  active: boolean;
}

export const SignedInContext = createContext<SignedIn | null>(null);

export function useSignedIn(): SignedIn {
  const signedIn = use(SignedInContext);
  if (!signedIn) throw new Error("used outside a signed-in page");
  return signedIn;
}
