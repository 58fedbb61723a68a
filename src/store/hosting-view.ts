/** What formats see of what is hosted. */
import type { Entry, PackageFacts, PackageRecord, View } from '../core/hosting.ts';
import type { Narrowed } from './hosting.ts';
import type { HostedPackage, HostedRecord, HostedState } from './hosting-state.ts';

export function viewOf(state: HostedState, overwrites: () => boolean, { only, sees }: Narrowed = {}): View {
  const isSeen = (name: string): boolean => (only === undefined || name === only) && (sees?.(name) ?? true);
  const seen = (name: string): HostedPackage | undefined => (isSeen(name) ? state.package(name) : undefined);

  function* packages(): Iterable<HostedPackage> {
    if (only === undefined) {
      for (const one of state.packages()) if (isSeen(one.name)) yield one;
      return;
    }
    const one = seen(only);
    if (one) yield one;
  }

  return {
    get overwrites() {
      return overwrites();
    },
    get changedAt() {
      if (only === undefined && !sees) return state.changedAt;
      let latest = '';
      for (const { changedAt } of packages()) if (changedAt > latest) latest = changedAt;
      return latest;
    },
    *names() {
      for (const { name } of packages()) yield name;
    },
    records(name) {
      const one = seen(name);
      return one ? [...one.records].map(([version, record]) => recordOf(one, version, record)) : [];
    },
    record(name, version) {
      const one = seen(name);
      const record = one?.records.get(version);
      return one && record && recordOf(one, version, record);
    },
    about(name) {
      const one = seen(name);
      return one && factsOf(one);
    },
    entry(path) {
      const entry = state.entry(path);
      return entry && isSeen(entry.name) ? entry : undefined;
    },
    *entries(name, prefix = '') {
      for (const [path, entry] of seen(name)?.entries ?? []) if (path.startsWith(prefix)) yield entry;
    },
  };
}

/** Own properties, so that a copy of a record has what the record has; worked out only if somebody looks. */
function recordOf({ name, entries }: HostedPackage, version: string, record: HostedRecord): PackageRecord {
  let facts: Readonly<Record<string, unknown>> | undefined;
  let files: readonly Entry[] | undefined;
  return {
    name,
    version,
    get files() {
      files ??= record.files.flatMap((path) => entries.get(path) ?? []);
      return files;
    },
    get facts() {
      facts ??= parsed(record.facts);
      return facts;
    },
    publishedAt: record.publishedAt,
    changedAt: record.changedAt,
    ...(record.yanked === undefined ? {} : { yanked: record.yanked }),
  };
}

function factsOf({ about, createdAt, changedAt, revision }: HostedPackage): PackageFacts {
  let facts: Readonly<Record<string, unknown>> | undefined;
  return {
    get facts() {
      facts ??= about ? parsed(about) : {};
      return facts;
    },
    createdAt,
    changedAt,
    revision,
  };
}

function parsed(json: Buffer): Readonly<Record<string, unknown>> {
  return JSON.parse(json.toString());
}
