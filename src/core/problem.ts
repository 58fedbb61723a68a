/** The table of error codes, and the one error class. A code is the contract; messages may change. */

interface Row {
  readonly status: number;
  /** Whether asking again later can help. */
  readonly retry: boolean;
}

export const problems = {
  bad_request: { status: 400, retry: false },
  bad_path: { status: 400, retry: false },
  digest_mismatch: { status: 400, retry: false },
  unauthorized: { status: 401, retry: false },
  forbidden: { status: 403, retry: false },
  refused: { status: 403, retry: false },
  not_found: { status: 404, retry: false },
  offline: { status: 404, retry: false },
  method_not_allowed: { status: 405, retry: false },
  request_timeout: { status: 408, retry: true },
  conflict: { status: 409, retry: false },
  precondition_failed: { status: 412, retry: false },
  too_large: { status: 413, retry: false },
  quota_exceeded: { status: 413, retry: false },
  uri_too_long: { status: 414, retry: false },
  unsupported_media_type: { status: 415, retry: false },
  range_not_satisfiable: { status: 416, retry: false },
  expectation_failed: { status: 417, retry: false },
  invalid_package: { status: 422, retry: false },
  too_many_requests: { status: 429, retry: true },
  headers_too_large: { status: 431, retry: false },
  internal: { status: 500, retry: true },
  not_implemented: { status: 501, retry: false },
  upstream_invalid: { status: 502, retry: true },
  upstream_refused: { status: 502, retry: false },
  upstream_unavailable: { status: 503, retry: true },
  storage_unavailable: { status: 503, retry: true },
  busy: { status: 503, retry: true },
  not_stored: { status: 504, retry: false },
  loop: { status: 508, retry: false },
} as const satisfies Record<string, Row>;

export type Code = keyof typeof problems;

/** What a format may say about a problem. The message is safe to show. */
export interface ProblemFacts {
  readonly status: number;
  readonly code: Code;
  readonly message: string;
  /** Seconds, when waiting helps. */
  readonly retryAfterSeconds?: number;
  /** The route that was taken, once it is known. */
  readonly route?: string;
  /** What the format that threw it has to say in its own dialect. JSON. */
  readonly detail?: unknown;
}

export interface ProblemOptions {
  readonly cause?: unknown;
  readonly retryAfterSeconds?: number;
  /** Further response headers, such as a challenge. */
  readonly headers?: Readonly<Record<string, string>>;
  /** For the `problem` function of the format that throws it: what its dialect can say beside code and message. JSON. */
  readonly detail?: unknown;
  /** The last word of whoever is in trouble was that it has no such thing, and that word would still stand in for another. */
  readonly wasAbsent?: boolean;
}

/**
 * Everything that goes wrong on the way to an answer. The message says what was asked, what went wrong and what to do;
 * it is shown to the client, so it names no private address and no secret.
 */
export class Problem extends Error implements ProblemFacts {
  override readonly name = 'Problem';
  readonly code: Code;
  readonly retryAfterSeconds?: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly wasAbsent: boolean;
  readonly detail?: unknown;

  constructor(code: Code, message: string, options: ProblemOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.headers = options.headers ?? {};
    this.wasAbsent = options.wasAbsent ?? false;
    if (options.detail !== undefined) this.detail = options.detail;
    if (options.retryAfterSeconds !== undefined) this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return problems[this.code].status;
  }
}

/** Trouble between us and upstream, as opposed to an answer from it: a stored copy may stand in. */
export function isTrouble(error: unknown): error is Problem {
  return error instanceof Problem && /^upstream_|^busy$|^offline$/.test(error.code);
}

/** Anything thrown becomes a problem; what is not ours to explain is `internal` and keeps its cause. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem('internal', 'Something went wrong inside Larder; the log line with this request id says more.', {
    cause: error,
  });
}
