/** Published packages as the administration sees them: whatever the format, a package has versions and a version has files. */
import type { ChangeSet, Digest, Identity, PackageRecord, StagedFile, View } from '../core/format.ts';
import { Problem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';
import type { Committed, Hosting } from '../store/hosting.ts';
import { type ChangeContext, commitChange } from './change.ts';

export interface PackagesContext extends Pick<ChangeContext, 'access' | 'roomFor' | 'blobs'> {
  readonly hostingOf: (repository: Repository) => Hosting | undefined;
  /** By `org/name`. */
  readonly repository: (id: string) => Repository | undefined;
}

export interface PackageSummary {
  readonly name: string;
  readonly versions: number;
  /** The one that was published last. */
  readonly newest?: string;
  /** ISO 8601, both. */
  readonly createdAt: string;
  readonly changedAt: string;
  /** URL of the source project that it names itself. */
  readonly source?: string;
}

export interface VersionSummary {
  readonly version: string;
  readonly publishedAt: string;
  readonly changedAt: string;
  readonly yanked: boolean;
  readonly files: readonly FileSummary[];
}

export interface FileSummary {
  readonly path: string;
  readonly size: number;
  readonly contentType: string;
  readonly digests: readonly Digest[];
}

export interface PackagePage {
  readonly packages: readonly PackageSummary[];
  /** Name to go on after; absent: that was all. */
  readonly next?: string;
}

/** Packages that the identity may read, by name. */
export async function listPackages(
  context: PackagesContext,
  repository: Repository,
  identity: Identity,
  {
    after = '',
    limit,
    containing = '',
  }: { readonly after?: string; readonly limit: number; readonly containing?: string },
): Promise<PackagePage> {
  const hosting = hostingIn(context, repository);
  await hosting.ready();
  const reader = context.access.readerOf(identity);
  const view = hosting.view({ sees: (name) => reader.mayRead(repository, name) });
  const names = [...view.names()].filter((name) => name > after && name.includes(containing)).sort();
  const shown = names.slice(0, limit);
  return {
    packages: shown.map((name) => summaryOf(hosting, view, name)),
    ...(names.length > shown.length ? { next: shown.at(-1) ?? '' } : {}),
  };
}

export async function readPackage(
  context: PackagesContext,
  repository: Repository,
  identity: Identity,
  name: string,
): Promise<PackageSummary & { readonly published: readonly VersionSummary[] }> {
  const hosting = await visible(context, repository, identity, name);
  const view = hosting.view({ only: name });
  return { ...summaryOf(hosting, view, name), published: view.records(name).map(versionOf) };
}

function summaryOf(hosting: Hosting, view: View, name: string): PackageSummary {
  const records = view.records(name);
  const about = view.about(name);
  const source = hosting.sourceOf(name);
  const newest = records.at(-1)?.version;
  return {
    name,
    versions: records.length,
    ...(newest === undefined ? {} : { newest }),
    createdAt: about?.createdAt ?? '',
    changedAt: about?.changedAt ?? '',
    ...(source === undefined ? {} : { source }),
  };
}

const versionOf = ({ version, publishedAt, changedAt, yanked = false, files }: PackageRecord): VersionSummary => ({
  version,
  publishedAt,
  changedAt,
  yanked,
  files: files.map(({ path, size, contentType, digests }) => ({ path, size, contentType, digests })),
});

/** Whoever may not read it hears that it is not there. */
async function visible(
  context: PackagesContext,
  repository: Repository,
  identity: Identity,
  name: string,
): Promise<Hosting> {
  const hosting = hostingIn(context, repository);
  await hosting.ready();
  if (hosting.view().about(name) && context.access.mayDo(repository, identity, 'read', name)) return hosting;
  throw new Problem('not_found', `No package ${name} is published in ${repository.id}.`);
}

function hostingIn(context: PackagesContext, repository: Repository): Hosting {
  const hosting = context.hostingOf(repository);
  if (hosting) return hosting;
  throw new Problem('not_found', `${repository.id} has no hosted source: nothing is published in it.`);
}

export interface Who {
  readonly identity: Identity;
  readonly requestId: string;
}

/** Takes a version away, or all of them. Never again is it published with other bytes. */
export async function deleteVersions(
  context: PackagesContext,
  repository: Repository,
  { identity, requestId }: Who,
  name: string,
  version?: string,
): Promise<Committed> {
  const hosting = await visible(context, repository, identity, name);
  return commitChange(context, repository, hosting, {
    action: 'delete',
    identity,
    requestId,
    name,
    land: nothingToLand,
    decide(view) {
      if (version !== undefined) {
        const removed = existing(view, repository, name, version).version;
        const others = repository.format.bonds?.leaving(view, name, removed) ?? [];
        return { name, removes: [removed, ...others], reply };
      }
      const drop = [...view.entries(name)].map(({ path }) => path);
      return { name, removes: view.records(name).map((record) => record.version), drop, about: {}, reply };
    },
  });
}

/** Yanked versions are there for whoever names them, and chosen by nobody; what that means to clients is their format's word. */
export async function setYanked(
  context: PackagesContext,
  repository: Repository,
  { identity, requestId }: Who,
  name: string,
  version: string,
  yanked: boolean,
): Promise<Committed> {
  const hosting = await visible(context, repository, identity, name);
  return commitChange(context, repository, hosting, {
    action: 'delete',
    called: yanked ? 'yank' : 'unyank',
    identity,
    requestId,
    name,
    land: nothingToLand,
    decide(view) {
      const { facts } = existing(view, repository, name, version);
      return { name, records: [{ version, facts, yanked }], reply };
    },
  });
}

const reply = { status: 204, bytes: new Uint8Array() } as const;
const nothingToLand = async (): Promise<void> => {};

function existing(view: View, { id }: Repository, name: string, version: string): PackageRecord {
  const record = view.record(name, version);
  if (record) return record;
  throw new Problem('not_found', `${name} ${version} is not published in ${id}.`);
}

/**
 * Publishes a version of one repository in another one: the same bytes and facts, nothing sent again. Rights: to read it
 * there, to publish it here.
 */
export async function promote(
  context: PackagesContext,
  from: Repository,
  to: Repository,
  { identity, requestId }: Who,
  name: string,
  version: string,
): Promise<Committed> {
  if (from.format.id !== to.format.id) {
    const message = `${from.id} is of format ${from.format.id}, ${to.id} of ${to.format.id}: a version can only go to a repository of its own format.`;
    throw new Problem('bad_request', message);
  }
  if (from.id === to.id) throw new Problem('bad_request', `${name} ${version} is in ${to.id} already.`);
  const source = await visible(context, from, identity, name);
  const target = hostingIn(context, to);
  await target.ready();
  const view = source.view({ only: name });
  const records = [
    existing(view, from, name, version),
    ...(from.format.bonds?.along(view, name, version) ?? []).map((other) => existing(view, from, name, other)),
  ];
  const entries = new Map(records.flatMap((record) => record.files.map((file) => [file.path, file])));
  const files = new Map<StagedFile, Digest>();
  const put = [...entries.values()].map(({ path, size, digest, digests, contentType, mutable }) => {
    const file: StagedFile = { size, digests, read: () => Promise.reject(new Error('Only its digest is looked at.')) };
    files.set(file, digest);
    return { path, file, contentType, ...(mutable && !to.format.bonds?.stays?.(path) ? { mutable } : {}) };
  });
  const opened: { close(): void }[] = [];
  const link = source.sourceOf(name);
  try {
    return await commitChange(context, to, target, {
      action: 'publish',
      called: 'promote',
      identity,
      requestId,
      name,
      async land(file) {
        const digest = files.get(file);
        const blob = digest && (await context.blobs.open(digest));
        if (!blob)
          throw new Problem(
            'storage_unavailable',
            `A file of ${name} ${version} is missing in ${from.id}: run larder verify.`,
          );
        opened.push(blob);
      },
      decide: (now): ChangeSet => ({
        name,
        put,
        records: records.map((record) => ({
          version: record.version,
          facts: record.facts,
          files: record.files.map(({ path }) => path),
          ...(record.yanked ? { yanked: true } : {}),
          ...(link === undefined ? {} : { source: link }),
        })),
        // What is said about the package as a whole is said where it is released; the first version brings it along.
        ...(now.about(name) ? {} : { about: {} }),
        reply,
      }),
    });
  } finally {
    for (const blob of opened) blob.close();
  }
}
