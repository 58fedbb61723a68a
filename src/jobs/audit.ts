/** The audit log: every journal of an organisation, read backwards. */
import type { Written } from '../core/journal.ts';
import type { Repository } from '../core/repository.ts';
import type { HostedChange, Hosting } from '../store/hosting.ts';

export interface AuditEvent {
  /** `org/repository`, or `org/-`. */
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
  readonly orgHistory: (
    org: string,
    before?: number,
  ) => AsyncIterable<Written<{ readonly action: string; readonly name?: string }>>;
}

export interface AuditQuery {
  /** A name, or `-`; absent: all of the organisation's. */
  readonly repository?: string | undefined;
  /** Number to go on before; of one journal only. */
  readonly before?: number | undefined;
  /** ISO 8601. */
  readonly until?: string | undefined;
}

export function createAudit({ repositories, hostingOf, orgHistory }: AuditOptions) {
  async function* ofRepository(repository: Repository, before?: number): AsyncIterable<AuditEvent> {
    const hosting = hostingOf(repository);
    if (!hosting) return;
    await hosting.ready();
    for await (const written of hosting.history(before)) yield eventOf(repository.id, written);
  }

  async function* ofOrg(org: string, before?: number): AsyncIterable<AuditEvent> {
    for await (const { change, ...rest } of orgHistory(org, before)) yield { ...rest, ...change, journal: `${org}/-` };
  }

  return {
    async *events(org: string, { repository, before, until }: AuditQuery): AsyncIterable<AuditEvent> {
      const inOrg = [...repositories()].filter((one) => one.org === org);
      const chosen = repository === undefined ? inOrg : inOrg.filter(({ name }) => name === repository);
      const journals = chosen.map((one) => ofRepository(one, before));
      if (repository === undefined || repository === '-') journals.push(ofOrg(org, before));
      for await (const event of newestFirst(journals)) if (until === undefined || event.at <= until) yield event;
    },
  };
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
