/** The hosted packages of one repository: kept in memory, made from its journal, and changed only through it. */
import { type Digest, hexOf } from '../core/digest.ts';
import type { ChangeSet, Decide, Entry, StagedFile, View } from '../core/hosting.ts';
import type { OpenJournal, Signature, Written } from '../core/journal.ts';
import { Problem } from '../core/problem.ts';
import { type Bytes, type Plan, planChange } from './hosting-rules.ts';
import { HostedState } from './hosting-state.ts';
import { viewOf } from './hosting-view.ts';
import { blobName } from './layout.ts';
import type { Hold, Objects } from './objects.ts';

export interface Hosting {
  /** What others published is known afterwards. Free when nothing was. Rejects with a Problem (`storage_unavailable`). */
  ready(): Promise<void>;
  /** Whether nobody published since; one look at the disk, no waiting. */
  isCurrent(): boolean;
  /** Whether the package has a version or a file. */
  has(name: string): boolean;
  /** Whether it ever had one: a name that was private once stays so when the last version of it is deleted. */
  knew(name: string): boolean;
  /** URL of the source project that the newest record with one names. */
  sourceOf(name: string): string | undefined;
  /** Of one name, or of what may be seen. It tells what is hosted at the moment it is asked, not when it was made. */
  view(narrowed?: Narrowed): View;
  /** Of a package, or of everything: another one after every change of it, the same in every process. */
  revision(name?: string): string;
  /** Bytes count once, however many paths have them. */
  usage(): {
    readonly bytes: number;
    readonly files: number;
    readonly versions: number;
    readonly packages: number;
  };
  /** Safe on the disk when it resolves, and visible. Rejects with the Problem of `decide`, of `judge` or of the rules; then nothing is changed. */
  commit(request: CommitRequest): Promise<Committed>;
  /** Newest first, from before an object's number (default: the end). */
  history(before?: number): AsyncIterable<Written<HostedChange>>;
}

export interface Narrowed {
  readonly only?: string;
  readonly sees?: (name: string) => boolean;
}

export interface CommitRequest {
  /** Asked again when somebody else's change came first. */
  readonly decide: Decide;
  /** Packages that the decision may know of; the others are not there for it. Default: all. */
  readonly sees?: (name: string) => boolean;
  /** Rights to the package; throws. Asked after `decide`, each time, before anything is said about what is there already. */
  admit?(set: ChangeSet): void;
  /** Rights to what it comes to, and quotas; throws. Called after `admit`, and once more when it is its turn. */
  judge(set: ChangeSet, effect: Effect): void;
  /** Makes a staged file a blob, synced. Called again when it is not there any more. */
  land(file: StagedFile): Promise<void>;
  readonly signature: Signature;
  /** What the journal calls it: publish, delete, promote. */
  readonly action: string;
}

/** What a change set comes to, where it is judged. */
export interface Effect {
  /** Bytes that no path of the repository had before. */
  readonly addedBytes: number;
  /** Versions that go. */
  readonly removed: readonly string[];
  /** Paths that go, with those of the versions that go. */
  readonly dropped: readonly string[];
  /** Paths of immutable files that get other bytes. */
  readonly replaced: readonly string[];
  /** The package had no version and no file. */
  readonly isNew: boolean;
}

export interface Committed {
  readonly set: ChangeSet;
  /** Of the journal's object; `undefined` when there was nothing to write. */
  readonly number: number | undefined;
  /** False: everything was so already. */
  readonly changed: boolean;
}

/** A change as the journal has it; plain JSON. Everything is told that it does, so that replaying it decides nothing. */
export interface HostedChange {
  readonly action: string;
  readonly name: string;
  readonly put?: readonly {
    readonly path: string;
    /** sha256. */
    readonly digest: Digest;
    readonly digests: readonly Digest[];
    readonly size: number;
    readonly contentType: string;
    readonly mutable?: boolean;
  }[];
  /** Paths, those of the removed versions among them. */
  readonly drop?: readonly string[];
  readonly records?: readonly {
    readonly version: string;
    readonly facts: Readonly<Record<string, unknown>>;
    /** Paths that are added to the version's. */
    readonly files?: readonly string[];
    readonly yanked?: boolean;
    readonly source?: string;
  }[];
  readonly removes?: readonly string[];
  readonly about?: Readonly<Record<string, unknown>>;
}

export interface HostingOptions {
  /** `org/name`. */
  readonly repository: string;
  /** Whether published versions may be replaced; asked each time. */
  readonly overwrites: () => boolean;
  readonly openJournal: OpenJournal;
  readonly objects: Pick<Objects, 'facts' | 'hold' | 'settle'>;
}

/** Also what the store must know of it: which bytes it needs. */
export interface OpenedHosting extends Hosting {
  /** Published, or about to be. */
  refersTo(digest: Digest): boolean;
  entries(): Iterable<Entry>;
}

/** A change on its way into the journal. */
interface Coming {
  readonly paths: ReadonlySet<string>;
  readonly addedBytes: number;
}

/** Files made blobs at a time. */
const landingsAtOnce = 8;
/** How often a file is made a blob that is gone again before it can be held. */
const landings = 3;

export async function openHosting(options: HostingOptions): Promise<OpenedHosting> {
  const state = new HostedState();
  /** Packages with a change on its way into the journal, which nobody sees yet. */
  const coming = new Map<string, Coming>();
  /** Digests of changes that are not yet in the journal, and how many of them want each. */
  const landing = new Map<Digest, number>();
  const journal = await options.openJournal<HostedChange>({
    name: options.repository,
    apply(written) {
      state.apply(written);
      coming.delete(written.change.name);
    },
    snapshot: () => state.snapshot(),
    restore: (values) => state.restore(values),
  });

  function plan(request: CommitRequest): Plan {
    const { decide, sees } = request;
    const set = decide(sees ? viewOf(state, options.overwrites, { sees }) : view);
    request.admit?.(set);
    const planned = planChange(state, options.overwrites(), set);
    request.judge(set, planned.effect);
    return planned;
  }

  /** No two packages that are written together may want the same path: neither has seen the other. */
  function announce({ set: { name }, effect: { addedBytes }, bytes }: Plan): Coming {
    const paths = new Set(bytes.map(({ path }) => path));
    for (const [other, change] of coming) {
      if (other === name || change.paths.isDisjointFrom(paths)) continue;
      throw new Problem('conflict', 'Another package is published at the same path at this moment. Try again.');
    }
    const change = { paths, addedBytes };
    coming.set(name, change);
    return change;
  }

  async function commit(request: CommitRequest): Promise<Committed> {
    await journal.catchUp();
    const held = new HeldBytes(options.objects, landing, request);
    let announced: Coming | undefined;
    try {
      let seen = journal.number;
      let planned = plan(request);
      const { name } = planned.set;
      // Before it is its turn, so that those who wait behind it do not wait for its files.
      await held.take(planned);
      if (!planned.change) return { set: planned.set, number: undefined, changed: false };
      const written = await journal.append(name, request.signature, async () => {
        // It was announced before, and somebody else's change came first.
        coming.delete(name);
        if (seen !== journal.number) {
          seen = journal.number;
          planned = plan(request);
          if (planned.set.name !== name) throw new Error(`a change of ${name} became one of ${planned.set.name}`);
          await held.take(planned);
        }
        // What others are about to write takes room, too: it was not known when this was judged first.
        else request.judge(planned.set, planned.effect);
        if (!planned.change) return undefined;
        announced = announce(planned);
        return { action: request.action, ...planned.change };
      });
      if (written) await held.restore();
      return { set: planned.set, number: written?.number, changed: written !== undefined };
    } finally {
      for (const [name, change] of coming) if (change === announced) coming.delete(name);
      await held.release();
    }
  }

  const view = viewOf(state, options.overwrites);
  return {
    ready: () => journal.catchUp(),
    isCurrent: () => journal.isCurrent(),
    has: (name) => state.package(name) !== undefined,
    knew: (name) => state.knew(name),
    sourceOf: (name) => state.sourceOf(name),
    view: (narrowed) => (narrowed ? viewOf(state, options.overwrites, narrowed) : view),
    revision: (name) => state.revision(name),
    usage() {
      const usage = state.usage();
      let { bytes } = usage;
      for (const { addedBytes } of coming.values()) bytes += addedBytes;
      return { ...usage, bytes };
    },
    commit,
    history: (before) => journal.history(before),
    refersTo: (digest) => state.uses(digest) || landing.has(digest),
    entries: () => state.entries(),
  };
}

/** The bytes of one change: blobs before it is written, and still blobs afterwards, whatever other processes clear away meanwhile. */
class HeldBytes {
  readonly #objects: HostingOptions['objects'];
  readonly #landing: Map<Digest, number>;
  readonly #request: CommitRequest;
  readonly #held = new Map<Digest, Hold | undefined>();

  constructor(objects: HostingOptions['objects'], landing: Map<Digest, number>, request: CommitRequest) {
    this.#objects = objects;
    this.#landing = landing;
    this.#request = request;
  }

  async take({ bytes }: Plan): Promise<void> {
    const left = bytes.values();
    const work = async (): Promise<void> => {
      for (const one of left) await this.#takeOne(one);
    };
    const done = await Promise.allSettled(Array.from({ length: Math.min(landingsAtOnce, bytes.length) }, work));
    for (const one of done) if (one.status === 'rejected') throw one.reason;
  }

  /** Somebody who did not know that they are wanted may have taken them away. */
  async restore(): Promise<void> {
    try {
      for (const hold of this.#held.values()) await hold?.restore();
    } catch (cause) {
      const message =
        'This may have happened, but the storage failed before it could be confirmed. Look, and do the same again if it is missing or incomplete.';
      throw new Problem('storage_unavailable', message, { cause });
    }
  }

  async release(): Promise<void> {
    for (const [digest, hold] of this.#held) {
      const others = (this.#landing.get(digest) ?? 1) - 1;
      if (others > 0) this.#landing.set(digest, others);
      else this.#landing.delete(digest);
      await hold?.release();
    }
  }

  async #takeOne(one: Bytes): Promise<void> {
    // Published already; but if its bytes were lost, this is how they come back.
    if (one.isOld && (await this.#isWhole(one))) return;
    if (this.#held.has(one.digest)) return;
    this.#held.set(one.digest, undefined);
    this.#landing.set(one.digest, (this.#landing.get(one.digest) ?? 0) + 1);
    this.#held.set(one.digest, await this.#land(one));
  }

  async #isWhole({ digest, size }: Bytes): Promise<boolean> {
    return (await this.#objects.facts(nameOf(digest)))?.sizeBytes === size;
  }

  /** `undefined`: there are no such bytes. Otherwise they survive a power failure, name and all. */
  async #hold(name: string): Promise<Hold | undefined> {
    let hold: Hold | undefined;
    try {
      hold = await this.#objects.hold(name);
      if (hold) await this.#objects.settle(name);
      return hold;
    } catch (cause) {
      await hold?.release();
      const message = 'Nothing was changed: the storage fails to write. Try again later; the log says more.';
      throw new Problem('storage_unavailable', message, { cause });
    }
  }

  async #land({ path, digest, file }: Bytes): Promise<Hold> {
    const name = nameOf(digest);
    for (let attempt = 0; attempt < (file ? landings : 1); attempt += 1) {
      if (file) await this.#request.land(file);
      const hold = await this.#hold(name);
      if (hold) return hold;
    }
    throw new Problem('storage_unavailable', `The bytes of ${path} are not where they should be. Run larder verify.`);
  }
}

function nameOf(digest: Digest): string {
  return blobName(hexOf(digest));
}
