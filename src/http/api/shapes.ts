/** What operations of the administration API have in common. */
import { z } from 'zod';
import { nameOfIdentity } from '../../core/identity.ts';
import type { Signature } from '../../core/journal.ts';
import { Problem } from '../../core/problem.ts';
import type { Repository } from '../../core/repository.ts';
import type { ApiCall } from './route.ts';

/** What somebody may be allowed to do. */
export const actionSchema = z.enum(['read', 'publish', 'delete', 'admin']);
/** Parameters of paths below an organisation. */
export const orgParams = z.object({ org: z.string() });
/** Parameters of paths below a repository. */
export const repositoryParams = z.object({ org: z.string(), repository: z.string() });
/** A moment. */
export const time = z.string().describe('ISO 8601.');
/** How many of a list are wanted. */
export const limit = z.coerce.number().int().min(1).max(1000).default(100);

/** Some of a list, and where it goes on. */
export const listOf = <T extends z.ZodType>(schema: T) =>
  z.object({ items: z.array(schema), next: z.string().optional().describe('For `after`; absent: that was all.') });

/** In whose name the journal has it. */
export const signatureOf = ({
  identity,
  requestId,
}: Pick<ApiCall<never, never, never>, 'identity' | 'requestId'>): Signature => ({
  by: nameOfIdentity(identity),
  ...(identity.token ? { token: identity.token.id } : {}),
  requestId,
});

/** Whoever may not know of it hears that there is none. */
export function repositoryOf(
  { context, identity }: Pick<ApiCall<never, never, never>, 'context' | 'identity'>,
  { org, repository }: { org: string; repository: string },
): Repository {
  const found = context.packages.repository(`${org}/${repository}`);
  if (found && context.access.mayKnow(found, identity)) return found;
  throw new Problem('not_found', `There is no repository ${org}/${repository} here.`);
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without what was left out. */
export function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as Defined<T>;
}
