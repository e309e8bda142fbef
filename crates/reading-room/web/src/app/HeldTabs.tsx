import type { Person } from "../api/types";
import { Link } from "./Link";
import { useSignedIn } from "./session";
import type { Route } from "./routes";

/** The pages about objects that wait for a decision. A page that joins them stands here once. */
const TABS: { page: Route["page"]; to: string; name: string; roles: Person["role"][] }[] = [
  { page: "conflicts", to: "/conflicts", name: "Conflicts", roles: ["centre", "reader", "admin"] },
  { page: "quarantine", to: "/quarantine", name: "Quarantine", roles: ["centre", "admin"] },
];

export const HELD_PAGES: ReadonlySet<Route["page"]> = new Set(TABS.map(({ page }) => page));

/** From one of these pages to another; nothing where there is only one. */
export function HeldTabs({ current }: { current: Route["page"] }) {
  const { person } = useSignedIn();
  const tabs = TABS.filter(({ roles }) => roles.includes(person.role));
  if (tabs.length < 2) return null;
  return (
    <nav className="page-tabs" aria-label="Waiting for a decision">
      {tabs.map(({ page, to, name }) => (
        <Link key={page} to={to} className="nav-link" aria-current={page === current ? "page" : undefined}>
          {name}
        </Link>
      ))}
    </nav>
  );
}
