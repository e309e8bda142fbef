/** Addresses of the pages. */

export type Route =
  | { page: "worklist" }
  | { page: "read"; centre: string; study: string }
  | { page: "deliveries" }
  | { page: "tasks" }
  | { page: "quarantine" }
  | { page: "conflicts"; of: { centre: string; study: string } | null }
  | { page: "upload" }
  | { page: "status" }
  | { page: "taken-out" }
  | { page: "mailbox"; mail: string | null }
  | { page: "unknown" };

export function parseRoute(path: string): Route {
  const [first = "", second, third, ...more] = path.split("/").filter(Boolean).map(decoded);
  if (more.length > 0) return { page: "unknown" };
  if (first === "") return { page: "worklist" };
  if (first === "read" && second && third) return { page: "read", centre: second, study: third };
  if (first === "mailbox" && !third) return { page: "mailbox", mail: second ?? null };
  if (first === "conflicts" && second && third) return { page: "conflicts", of: { centre: second, study: third } };
  if (second !== undefined) return { page: "unknown" };
  switch (first) {
    case "deliveries":
    case "tasks":
    case "quarantine":
    case "upload":
    case "status":
    case "taken-out":
      return { page: first };
    case "conflicts":
      return { page: first, of: null };
  }
  return { page: "unknown" };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const readingPath = (centre: string, study: string): string =>
  `/read/${encodeURIComponent(centre)}/${encodeURIComponent(study)}`;

export const conflictsPath = (centre: string, study: string): string =>
  `/conflicts/${encodeURIComponent(centre)}/${encodeURIComponent(study)}`;
