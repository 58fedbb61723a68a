/** What a journal's changes come to, in memory. Facts stay the bytes they came as and are parsed when somebody reads them. */
import type { Digest } from '../core/digest.ts';
import type { Entry } from '../core/hosting.ts';
import type { Written } from '../core/journal.ts';
import type { HostedChange } from './hosting.ts';

export interface HostedRecord {
  /** JSON. */
  readonly facts: Buffer;
  /** Paths. */
  readonly files: readonly string[];
  readonly publishedAt: string;
  readonly changedAt: string;
  readonly yanked?: boolean;
  readonly source?: string;
}

export interface HostedPackage {
  readonly name: string;
  createdAt: string;
  changedAt: string;
  revision: string;
  /** JSON. */
  about?: Buffer;
  /** The newest version that names its source project. */
  sourced?: string;
  /** In the order of their publication. */
  readonly records: Map<string, HostedRecord>;
  readonly entries: Map<string, Entry>;
}

/** Lines of a checkpoint, in this order: files and versions belong to the package before them. */
type Line =
  | { readonly t: 'state'; readonly stamp: string; readonly changedAt: string }
  | {
      readonly t: 'package';
      readonly name: string;
      readonly createdAt: string;
      readonly changedAt: string;
      readonly revision: string;
      readonly about?: string;
      readonly sourced?: string;
    }
  | ({ readonly t: 'file' } & Omit<Entry, 'name' | 'digest'>)
  | ({ readonly t: 'version'; readonly version: string; readonly facts: string } & Omit<HostedRecord, 'facts'>)
  | { readonly t: 'gone'; readonly name: string; readonly revision: string }
  | { readonly t: 'dropped'; readonly path: string; readonly digest: Digest };

const nothingYet = '0';

/**
 * In memory of its own: `Buffer.from` gives a part of 64 KiB that it shares with whatever comes next, and what is published now and then
 * would keep all of that, each. A checkpoint is read in one go, and shares it with itself.
 */
function kept(json: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(json));
  bytes.write(json);
  return bytes;
}

export class HostedState {
  readonly #packages = new Map<string, HostedPackage>();
  readonly #entries = new Map<string, Entry>();
  /** Of immutable files that were taken away: what may come back there. */
  readonly #dropped = new Map<string, Digest>();
  /** Revisions of packages that are there no more, so that none is used twice. */
  readonly #gone = new Map<string, string>();
  /** How many paths have these bytes. */
  readonly #uses = new Map<Digest, number>();
  /** The same few texts, once each. */
  readonly #texts = new Map<string, string>();
  #stamp = nothingYet;
  #changedAt = '';
  #bytes = 0;
  #versions = 0;
  #there = 0;

  get changedAt(): string {
    return this.#changedAt;
  }

  /** Only those that have a version or a file. */
  package(name: string): HostedPackage | undefined {
    const found = this.#packages.get(name);
    return found && isThere(found) ? found : undefined;
  }

  *packages(): Iterable<HostedPackage> {
    for (const one of this.#packages.values()) if (isThere(one)) yield one;
  }

  /** JSON; also of a package that has no version yet. */
  about(name: string): Buffer | undefined {
    return this.#packages.get(name)?.about;
  }

  entry(path: string): Entry | undefined {
    return this.#entries.get(path);
  }

  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** What lay at a path when it was taken away. */
  dropped(path: string): Digest | undefined {
    return this.#dropped.get(path);
  }

  uses(digest: Digest): boolean {
    return this.#uses.has(digest);
  }

  sourceOf(name: string): string | undefined {
    const found = this.package(name);
    return found?.sourced === undefined ? undefined : found.records.get(found.sourced)?.source;
  }

  knew(name: string): boolean {
    return this.#packages.has(name) || this.#gone.has(name);
  }

  revision(name?: string): string {
    if (name === undefined) return this.#stamp;
    return this.#packages.get(name)?.revision ?? this.#gone.get(name) ?? nothingYet;
  }

  usage(): { readonly bytes: number; readonly files: number; readonly versions: number; readonly packages: number } {
    return { bytes: this.#bytes, files: this.#entries.size, versions: this.#versions, packages: this.#there };
  }

  apply({ number, at, change }: Written<HostedChange>): void {
    const { name } = change;
    const known = this.#packages.get(name);
    const one = known ?? this.#begin(name, at);
    const wasThere = isThere(one);
    for (const version of change.removes ?? []) this.#remove(one, version);
    this.#drop(one, change.drop ?? []);
    for (const put of change.put ?? []) this.#put(one, { ...put, publishedAt: at });
    for (const record of change.records ?? []) this.#record(one, record, at);
    if (change.about) one.about = kept(JSON.stringify(change.about));
    // A number may come again when an older journal is put back, but hardly at the same moment.
    const stamp = `${number}-${Date.parse(at).toString(36)}`;
    this.#stamp = stamp;
    this.#changedAt = at;
    one.revision = stamp;
    one.changedAt = at;
    if (wasThere === isThere(one)) return;
    this.#there += wasThere ? -1 : 1;
    this.#packages.delete(name);
    if (wasThere) this.#gone.set(name, stamp);
    else {
      one.createdAt = at;
      this.#gone.delete(name);
      this.#packages.set(name, one);
    }
  }

  *snapshot(): Iterable<Line> {
    yield { t: 'state', stamp: this.#stamp, changedAt: this.#changedAt };
    for (const { name, createdAt, changedAt, revision, about, sourced, records, entries } of this.#packages.values()) {
      yield {
        t: 'package',
        name,
        createdAt,
        changedAt,
        revision,
        ...(about && { about: about.toString() }),
        ...(sourced !== undefined && { sourced }),
      };
      for (const { name: _, digest: __, ...entry } of entries.values()) yield { t: 'file', ...entry };
      for (const [version, record] of records) {
        yield { t: 'version', version, ...record, facts: record.facts.toString() };
      }
    }
    for (const [name, revision] of this.#gone) yield { t: 'gone', name, revision };
    for (const [path, digest] of this.#dropped) yield { t: 'dropped', path, digest };
  }

  restore(lines: Iterable<unknown>): void {
    for (const map of [this.#packages, this.#entries, this.#dropped, this.#gone, this.#uses]) map.clear();
    this.#stamp = nothingYet;
    this.#changedAt = '';
    this.#bytes = 0;
    this.#versions = 0;
    let one = this.#begin('', '');
    this.#packages.clear();
    for (const line of lines as Iterable<Line>) {
      if (line.t === 'package') one = this.#restorePackage(line);
      else if (line.t === 'file') this.#put(one, { ...line, digest: line.digests[0] as Digest });
      else if (line.t === 'version') {
        const { t: _, version, facts, ...rest } = line;
        one.records.set(version, { ...rest, facts: Buffer.from(facts) });
        this.#versions += 1;
      } else if (line.t === 'gone') this.#gone.set(line.name, line.revision);
      else if (line.t === 'dropped') this.#dropped.set(line.path, line.digest);
      else if (line.t === 'state') {
        this.#stamp = line.stamp;
        this.#changedAt = line.changedAt;
      } else throw new Error(`a checkpoint has a line that is not known: ${JSON.stringify(line).slice(0, 100)}`);
    }
    this.#there = [...this.packages()].length;
  }

  #begin(name: string, at: string): HostedPackage {
    const one = {
      name,
      createdAt: at,
      changedAt: at,
      revision: nothingYet,
      records: new Map<string, HostedRecord>(),
      entries: new Map<string, Entry>(),
    };
    this.#packages.set(name, one);
    return one;
  }

  #restorePackage({ name, createdAt, changedAt, revision, about, sourced }: Line & { t: 'package' }): HostedPackage {
    return Object.assign(this.#begin(name, createdAt), {
      changedAt,
      revision,
      ...(about !== undefined && { about: Buffer.from(about) }),
      ...(sourced !== undefined && { sourced }),
    });
  }

  #put(one: HostedPackage, put: Omit<Entry, 'name'>): void {
    const entry: Entry = {
      path: put.path,
      name: one.name,
      digest: put.digest,
      digests: put.digests,
      size: put.size,
      contentType: this.#shared(put.contentType),
      publishedAt: put.publishedAt,
      ...(put.mutable === undefined ? {} : { mutable: put.mutable }),
    };
    const before = this.#entries.get(entry.path);
    if (before) this.#forget(before);
    this.#dropped.delete(entry.path);
    this.#entries.set(entry.path, entry);
    one.entries.set(entry.path, entry);
    const uses = this.#uses.get(entry.digest) ?? 0;
    this.#uses.set(entry.digest, uses + 1);
    if (uses === 0) this.#bytes += entry.size;
  }

  /** Its bytes have one path less. */
  #forget({ digest, size }: Entry): void {
    const left = (this.#uses.get(digest) ?? 1) - 1;
    if (left > 0) this.#uses.set(digest, left);
    else {
      this.#uses.delete(digest);
      this.#bytes -= size;
    }
  }

  #drop(one: HostedPackage, paths: readonly string[]): void {
    const gone = new Set<string>();
    for (const path of paths) {
      const entry = one.entries.get(path);
      if (!entry) continue;
      if (!entry.mutable) this.#dropped.set(path, entry.digest);
      this.#forget(entry);
      one.entries.delete(path);
      this.#entries.delete(path);
      gone.add(path);
    }
    if (gone.size === 0) return;
    for (const [version, record] of one.records) {
      if (!record.files.some((path) => gone.has(path))) continue;
      one.records.set(version, { ...record, files: record.files.filter((path) => !gone.has(path)) });
    }
  }

  #record(one: HostedPackage, change: NonNullable<HostedChange['records']>[number], at: string): void {
    const { version, facts, files = [] } = change;
    const before = one.records.get(version);
    const yanked = change.yanked ?? before?.yanked;
    const source = change.source ?? before?.source;
    one.records.set(version, {
      facts: kept(JSON.stringify(facts)),
      files: before ? [...new Set([...before.files, ...files])] : files,
      publishedAt: before?.publishedAt ?? at,
      changedAt: at,
      ...(yanked === undefined ? {} : { yanked }),
      ...(source === undefined ? {} : { source: this.#shared(source) }),
    });
    if (!before) this.#versions += 1;
    if (source !== undefined && (!before || one.sourced === undefined)) one.sourced = version;
  }

  #remove(one: HostedPackage, version: string): void {
    if (!one.records.delete(version)) return;
    this.#versions -= 1;
    if (one.sourced !== version) return;
    delete one.sourced;
    for (const [other, { source }] of one.records) if (source !== undefined) one.sourced = other;
  }

  #shared(text: string): string {
    const known = this.#texts.get(text);
    if (known === undefined) this.#texts.set(text, text);
    return known ?? text;
  }
}

function isThere({ records, entries }: HostedPackage): boolean {
  return records.size > 0 || entries.size > 0;
}
