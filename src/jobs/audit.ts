/** The audit log: every journal of an organisation, read backwards. */
import type { Written } from '../core/journal.ts';
import type { Repository } from '../core/repository.ts';
import type { HostedChange, Hosting } from '../store/hosting.ts';

export interface AuditEvent {
  /** `org/repository`, `org/-`, or `org/-webhooks`. */
  readonly journal: string;
  readonly number: number;
  readonly index: number;
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
  readonly token?: string;
  readonly requestId?: string;
  readonly action: string;
  readonly name?: string;
  readonly versions?: string[];
  readonly files?: { path: string; digest?: string }[];
}

export interface AuditOptions {
  readonly repositories: () => Iterable<Repository>;
  readonly hostingOf: (repository: Repository) => Hosting | undefined;
  /** What was changed about users, tokens and rules: newest first, told without secrets. */
  readonly orgHistory: (org: string, before?: number) => AsyncIterable<Written<Told>>;
  /** The same of webhooks. */
  readonly webhookHistory: (org: string, before?: number) => AsyncIterable<Written<Told>>;
}

export interface Told {
  readonly action: string;
  readonly name?: string;
}

export interface AuditQuery {
  /** A name, `-`, or `-webhooks`; absent: all of the organisation's. */
  readonly repository?: string | undefined;
  /** Number to go on before; of one journal only. */
  readonly before?: number | undefined;
  /** ISO 8601. */
  readonly until?: string | undefined;
}

/** Clocks of several machines differ, and are put right: so many objects more are looked at than those before a moment. */
const slack = 500;

export function createAudit({ repositories, hostingOf, orgHistory, webhookHistory }: AuditOptions) {
  async function* ofRepository(repository: Repository, { before, until }: AuditQuery): AsyncIterable<AuditEvent> {
    const hosting = hostingOf(repository);
    if (!hosting) return;
    await hosting.ready();
    const history = (from?: number): AsyncIterable<Written<HostedChange>> => hosting.history(from);
    for await (const written of notAfter(history, before, until)) yield eventOf(repository.id, written);
  }

  async function* ofOrg(
    journal: string,
    history: (before?: number) => AsyncIterable<Written<Told>>,
    { before, until }: AuditQuery,
  ): AsyncIterable<AuditEvent> {
    for await (const { change, ...rest } of notAfter(history, before, until)) yield { ...rest, ...change, journal };
  }

  return {
    async *events(org: string, query: AuditQuery): AsyncIterable<AuditEvent> {
      const { repository, until } = query;
      const inOrg = [...repositories()].filter((one) => one.org === org);
      const chosen = repository === undefined ? inOrg : inOrg.filter(({ name }) => name === repository);
      const journals = chosen.map((one) => ofRepository(one, query));
      const own = { '-': orgHistory, '-webhooks': webhookHistory };
      for (const [name, history] of Object.entries(own)) {
        if (repository !== undefined && repository !== name) continue;
        journals.push(ofOrg(`${org}/${name}`, (from) => history(org, from), query));
      }
      for await (const event of newestFirst(journals)) if (until === undefined || event.at <= until) yield event;
    },
  };
}

/** Without reading all that came later, however much it is. */
async function* notAfter<T>(
  history: (before?: number) => AsyncIterable<Written<T>>,
  before: number | undefined,
  until: string | undefined,
): AsyncIterable<Written<T>> {
  if (until === undefined) return yield* history(before);
  const newest = await firstOf(history(before));
  if (!newest) return;
  // The first object after that moment is looked for by halves.
  let [low, high] = [1, newest.number + 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const one = await firstOf(history(middle + 1));
    if (one && one.at > until) high = middle;
    else low = middle + 1;
  }
  yield* history(Math.min(newest.number + 1, low + slack));
}

async function firstOf<T>(all: AsyncIterable<T>): Promise<T | undefined> {
  for await (const one of all) return one;
  return undefined;
}

async function* newestFirst(journals: readonly AsyncIterable<AuditEvent>[]): AsyncIterable<AuditEvent> {
  const heads = await Promise.all(
    journals.map(async (journal) => {
      const events = journal[Symbol.asyncIterator]();
      return { events, next: await events.next() };
    }),
  );
  for (;;) {
    const [latest] = heads
      .filter(({ next }) => !next.done)
      .sort((one, other) => (one.next.value.at < other.next.value.at ? 1 : -1));
    if (!latest) return;
    yield latest.next.value;
    latest.next = await latest.events.next();
  }
}

function eventOf(journal: string, { change, ...rest }: Written<HostedChange>): AuditEvent {
  const versions = [...(change.records ?? []).map(({ version }) => version), ...(change.removes ?? [])];
  const files = [
    ...(change.put ?? []).map(({ path, digest }) => ({ path, digest })),
    ...(change.drop ?? []).map((path) => ({ path })),
  ];
  return {
    ...rest,
    journal,
    action: change.action,
    name: change.name,
    ...(versions.length > 0 ? { versions } : {}),
    ...(files.length > 0 ? { files } : {}),
  };
}
