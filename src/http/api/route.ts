/** What an operation of the administration API is: data, from which the router, the checks and the OpenAPI document are made. */
import type { z } from 'zod';
import type { AccessControl } from '../../access/access.ts';
import type { Identity } from '../../core/identity.ts';
import type { Repository } from '../../core/repository.ts';
import type { ExplainContext } from '../../pipeline/explain.ts';
import type { PackagesContext } from '../../pipeline/packages.ts';
import type { Audit } from './audit.ts';
import type { KeepWarm, Missing, Recordings } from './offline.ts';
import type { Webhooks } from './webhooks.ts';

/** What operations work with. */
export interface ApiContext {
  readonly access: AccessControl;
  readonly packages: PackagesContext & ExplainContext;
  readonly repositories: () => Iterable<Repository>;
  readonly audit: Audit;
  readonly webhooks: Webhooks;
  readonly missing: Missing;
  readonly recordings: Recordings;
  readonly keepWarm: KeepWarm;
  /** Publishes a version at an upstream, in the protocol of its format. */
  readonly release: Release;
}

export type Release = (
  repository: Repository,
  upstream: string,
  name: string,
  version: string,
) => Promise<{ readonly status: number; readonly message: string }>;

/** One request, with everything in it checked. */
export interface ApiCall<P, Q, B> {
  readonly context: ApiContext;
  readonly identity: Identity;
  readonly requestId: string;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
}

/** Who may: anybody, whoever administers the organisation in the path, or whoever may see it; the operation itself may ask for more. */
export type Need = 'nothing' | 'member' | 'admin';

export interface Operation {
  /** `packages.list`: unique, and stable for clients made from the document. */
  readonly id: string;
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** Below `/api/v1`; `{x}` is one segment, slashes in it percent-encoded. */
  readonly path: string;
  readonly summary: string;
  readonly needs: Need;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** Absent: 204, nothing. */
  readonly answer?: z.ZodType;
  readonly status: number;
  readonly run: (call: ApiCall<never, never, never>) => Promise<unknown>;
}

type Of<T> = T extends z.ZodType ? z.output<T> : Record<string, never>;

/** Keeps the types of what was checked together with what is run. */
export function operation<
  P extends z.ZodObject | undefined = undefined,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(
  settings: Omit<Operation, 'run' | 'params' | 'query' | 'body' | 'status'> & {
    readonly params?: P;
    readonly query?: Q;
    readonly body?: B;
    readonly status?: number;
    readonly run: (call: ApiCall<Of<P>, Of<Q>, Of<B>>) => Promise<unknown>;
  },
): Operation {
  const { run, status = settings.answer ? 200 : 204, ...rest } = settings;
  return { ...(rest as Omit<Operation, 'run' | 'status'>), status, run: run as unknown as Operation['run'] };
}
