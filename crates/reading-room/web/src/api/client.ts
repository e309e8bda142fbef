/** One request to the API: JSON in, JSON or an `ApiError` out. A 401 is also told to whoever guards the session. */

const REQUEST_TIMEOUT_MS = 20_000;

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    readonly code: string,
    message: string,
    readonly nextStep: string | null,
    readonly extra: Record<string, unknown> = {},
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** Whether trying again later may help without anybody changing anything. */
  get passing(): boolean {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500;
  }

  detail(key: string): string | null {
    const value = this.extra[key];
    return typeof value === "string" ? value : null;
  }

  number(key: string): number | null {
    const value = this.extra[key];
    return typeof value === "number" ? value : null;
  }
}

const endings = new Set<() => void>();

/** Calls `listener` when an answer says that the session is over. */
export function onSessionEnd(listener: () => void): () => void {
  endings.add(listener);
  return () => endings.delete(listener);
}

export interface Ask {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  /** What the path is below; images themselves are asked for over DICOMweb. */
  root?: "/api/v1" | "/dicomweb";
  body?: unknown;
  etag?: string | null;
  signal?: AbortSignal;
  /** Signing in answers 401 itself: that ends no session. */
  signingIn?: boolean;
  /** No person caused it, so it does not keep their session alive. */
  background?: boolean;
}

export interface Answer<T> {
  /** Absent when the server says that nothing changed, or says nothing. */
  body: T | null;
  etag: string | null;
}

export async function ask<T>(
  path: string,
  { method = "GET", root = "/api/v1", body, etag, signal, signingIn, background }: Ask = {},
): Promise<Answer<T>> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (etag) headers["if-none-match"] = etag;
  if (background) headers["x-telerad-background"] = "1";
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const request: RequestInit = {
    method,
    headers,
    credentials: "same-origin",
    cache: "no-store",
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  };
  if (body !== undefined) request.body = JSON.stringify(body);
  const response = await fetch(`${root}${path}`, request).catch((cause: unknown) => {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, "unreachable", "The server does not answer.", "Check the network; this page keeps trying.");
  });
  if (response.status === 304 || response.status === 204) return { body: null, etag: response.headers.get("etag") };
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return { body: answer as T, etag: response.headers.get("etag") };
  if (response.status === 401 && !signingIn) for (const listener of endings) listener();
  throw errorOf(response.status, answer);
}

/** As `ask`, for answers that always have a body. */
export async function fetched<T>(path: string, options?: Ask): Promise<T> {
  const { body } = await ask<T>(path, options);
  if (body === null) throw new ApiError(0, "empty_answer", "The server's answer was empty.", null);
  return body;
}

/** The error as the API words it, or a plain one for an answer from something else, such as a proxy. */
export function errorOf(status: number, answer: unknown): ApiError {
  const error = isRecord(answer) && isRecord(answer.error) ? answer.error : {};
  const { code, message, next_step, ...extra } = error;
  return new ApiError(
    status,
    typeof code === "string" ? code : "unknown",
    typeof message === "string" ? message : `The server answered with status ${status}.`,
    typeof next_step === "string" ? next_step : null,
    extra,
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** What to tell a person about anything that was thrown. */
export function asApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  return new ApiError(
    0,
    "unexpected",
    thrown instanceof Error ? thrown.message : "Something unexpected happened.",
    null,
  );
}
