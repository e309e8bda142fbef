import { lazy, Suspense, useEffect } from "react";
import { ConflictsPage } from "../conflicts/ConflictsPage";
import { DeliveriesPage } from "../deliveries/DeliveriesPage";
import { MailboxPage } from "../mailbox/MailboxPage";
import { QuarantinePage } from "../quarantine/QuarantinePage";
import { ReadingPage } from "../reading/ReadingPage";
import { hasUnsaved } from "../report/editors";
import { StatusPage } from "../status/StatusPage";
import { TakenOutPage } from "../taken-out/TakenOutPage";
import { TasksPage } from "../tasks/TasksPage";
import { ViewerHost } from "../viewer/ViewerHost";
import { WorklistPage } from "../worklist/WorklistPage";
import { Header } from "./Header";
import { Link } from "./Link";
import { parseRoute, type Route } from "./routes";
import { usePath } from "./router";
import { SignedInContext, useSessionState, useSignedIn } from "./session";
import { SignInAgain, SignInPage } from "./SignIn";
import { useTitle } from "./useTitle";
import { Problem } from "../ui/Problem";

/** Readers never load what only those need who send. */
const UploadPage = lazy(async () => ({ default: (await import("../upload/UploadPage")).UploadPage }));

export function App() {
  const handle = useSessionState();
  const { session, round } = handle;
  switch (session.state) {
    case "asking":
      return <p className="whole-page-note">Opening the reading room…</p>;
    case "unreachable":
      return (
        <main className="whole-page-note">
          <Problem error={session.error} />
          <button onClick={handle.askAgain}>Try again</button>
        </main>
      );
    case "out":
      return <SignInPage onSignIn={handle.signIn} />;
    case "in":
    case "ended":
      return (
        <SignedInContext value={{ person: session.person, round, active: session.state === "in" }}>
          <SignedInApp key={session.person.id} onSignOut={handle.signOut} />
          {session.state === "ended" && <SignInAgain login={session.person.login} onSignIn={handle.signIn} />}
        </SignedInContext>
      );
  }
}

function SignedInApp({ onSignOut }: { onSignOut: () => Promise<void> }) {
  const route = parseRoute(usePath());
  const { person } = useSignedIn();
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent) => {
      if (hasUnsaved()) event.preventDefault();
    };
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, []);
  return (
    <div className="app">
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <ViewerHost warm={person.role !== "centre"} header={<Header route={route} onSignOut={onSignOut} />}>
        <Suspense fallback={<p className="whole-page-note">Opening the page…</p>}>
          <Page route={route} />
        </Suspense>
      </ViewerHost>
    </div>
  );
}

function Page({ route }: { route: Route }) {
  const { person } = useSignedIn();
  switch (route.page) {
    case "worklist":
      // Who sends images does not read them.
      return person.role === "centre" ? <UploadPage /> : <WorklistPage />;
    case "read":
      return <ReadingPage key={`${route.centre}/${route.study}`} centre={route.centre} study={route.study} />;
    case "deliveries":
      return <DeliveriesPage />;
    case "tasks":
      return <TasksPage />;
    case "quarantine":
      return <QuarantinePage />;
    case "conflicts":
      return <ConflictsPage key={route.of?.study} of={route.of} />;
    case "status":
      return <StatusPage />;
    case "taken-out":
      return <TakenOutPage />;
    case "mailbox":
      return <MailboxPage selected={route.mail} />;
    case "upload":
      return <UploadPage />;
    case "unknown":
      return <UnknownPage />;
  }
}

function UnknownPage() {
  useTitle("No such page");
  return (
    <main id="main" className="whole-page-note">
      <h1>There is no such page</h1>
      <p>
        Go to the <Link to="/">worklist</Link>.
      </p>
    </main>
  );
}
