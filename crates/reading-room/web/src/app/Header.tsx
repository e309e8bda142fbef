import { useState } from "react";
import type { Delivery, Task } from "../api/types";
import { flushAll } from "../report/editors";
import { HELD_PAGES } from "./HeldTabs";
import { Help } from "./Help";
import { useKeys } from "./keys";
import { Link } from "./Link";
import { useSignedIn } from "./session";
import type { Route } from "./routes";
import { SignOut } from "./SignOut";
import { usePolled } from "./usePolled";

const COUNTS_PAUSE_MS = 10_000;

/** The one bar on every page: where one may go, what waits there, and who is signed in. */
export function Header({ route, onSignOut }: { route: Route; onSignOut: () => Promise<void> }) {
  const { person } = useSignedIn();
  const tasks = usePolled<{ tasks: Task[] }>("/tasks?closed=false", COUNTS_PAUSE_MS).data?.tasks.length ?? 0;
  const unread = usePolled<{ deliveries: Delivery[] }>("/deliveries?unacknowledged=true", COUNTS_PAUSE_MS).data;
  const [help, setHelp] = useState(false);
  const [leaving, setLeaving] = useState(false);
  useKeys({ "?": () => setHelp(true) });

  const leave = async () => {
    if (await flushAll()) await onSignOut();
    else setLeaving(true);
  };

  return (
    <header className="header">
      <Link to="/" className="product" aria-label="telerad reading room">
        telerad
      </Link>
      <nav aria-label="Pages">
        {person.role !== "centre" && (
          <NavLink to="/" name="Worklist" current={route.page === "worklist" || route.page === "read"} />
        )}
        {person.role !== "reader" && (
          <NavLink
            to="/upload"
            name="Send images"
            current={route.page === "upload" || (person.role === "centre" && route.page === "worklist")}
          />
        )}
        <NavLink
          to="/tasks"
          name="Needs attention"
          count={tasks}
          counted="open"
          urgent
          current={route.page === "tasks"}
        />
        <NavLink to="/conflicts" name="Conflicts" current={HELD_PAGES.has(route.page)} />
        <NavLink
          to="/deliveries"
          name="Deliveries"
          count={unread?.deliveries.length ?? 0}
          counted="not acknowledged"
          current={route.page === "deliveries"}
        />
        {person.role !== "centre" && <NavLink to="/mailbox" name="Mailbox" current={route.page === "mailbox"} />}
        {person.role === "admin" && (
          <NavLink to="/taken-out" name="Taken out" current={route.page === "taken-out"} />
        )}
        {person.role === "admin" && <NavLink to="/status" name="Limits" current={route.page === "status"} />}
      </nav>
      <div className="header-end">
        <button className="quiet" onClick={() => setHelp(true)} title="Keyboard shortcuts (?)">
          Keys <kbd>?</kbd>
        </button>
        <span className="who" data-testid="signed-in-name" title={person.credentials ?? undefined}>
          {person.name}
        </span>
        <button className="quiet" onClick={() => void leave()}>
          Sign out
        </button>
      </div>
      {help && <Help onClose={() => setHelp(false)} />}
      {leaving && <SignOut onStay={() => setLeaving(false)} onLeave={() => void onSignOut()} />}
    </header>
  );
}

interface NavLinkProps {
  to: string;
  name: string;
  current: boolean;
  count?: number;
  /** What the count counts, for a title. */
  counted?: string;
  urgent?: boolean;
}

function NavLink({ to, name, current, count = 0, counted, urgent = false }: NavLinkProps) {
  return (
    <Link to={to} className="nav-link" aria-current={current ? "page" : undefined}>
      {name}
      {count > 0 && (
        <span className={urgent ? "badge badge-warn" : "badge"} title={`${count} ${counted}`}>
          {count}
        </span>
      )}
    </Link>
  );
}
