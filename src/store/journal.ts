/**
 * Journals as numbered objects. The next free number is the lock: whoever creates it first has written, and whoever comes
 * second reads what is there, asks again what is to be written, and tries the number after it.
 */
import { randomUUID } from 'node:crypto';
import { publish } from '../core/events.ts';
import type { Journal, JournalOptions, OpenJournal, Signature, Written } from '../core/journal.ts';
import { isSafePath } from '../core/path.ts';
import { Problem } from '../core/problem.ts';
import { codeOf } from './disk.ts';
import { encodeCheckpoint, newestCheckpoint, removeOldCheckpoints } from './journal-checkpoints.ts';
import { checkpointName, checkpointsPrefix, journalObjectName, journalPrefix, numberOfName } from './layout.ts';
import type { Objects } from './objects.ts';
import { Turns } from './turns.ts';

export interface JournalsOptions {
  readonly objects: Objects;
  /** In ms. */
  readonly clock?: () => number;
  /** Objects after which a checkpoint is written; a large one waits longer. Default 500; 0: none is ever written. */
  readonly checkpointEvery?: number;
  /** Whether checkpoints that are there are used. Default true. */
  readonly fromCheckpoints?: boolean;
}

/** The journals of one store, as one process sees them. */
export interface Journals {
  readonly open: OpenJournal;
  /** Resolves when nothing is being written, checkpoints included. */
  settled(): Promise<void>;
}

/** One object. `writer` is a random text of this one attempt to write it. */
interface JournalObject<C> {
  readonly v: typeof objectVersion;
  readonly writer: string;
  readonly at: string;
  readonly changes: readonly (Signature & { readonly change: C })[];
}

/** A change that waits to be written. */
interface Request<C> {
  readonly turn: string;
  readonly signature: Signature;
  readonly make: () => C | undefined | Promise<C | undefined>;
  readonly resolve: (written: Written<C> | undefined) => void;
  readonly reject: (error: unknown) => void;
}

interface Made<C> {
  readonly request: Request<C>;
  readonly change: C;
}

const objectVersion = 1;
const usualCheckpointEvery = 500;
/** A checkpoint costs as much as it has lines, so the next one comes only after so many of these. */
const linesPerObject = 4;
const mostChangesInOne = 500;
/** Objects read at a time while there are many. */
const mostReadAhead = 32;

export function openJournals(options: JournalsOptions): Journals {
  const opened: ObjectJournal<unknown>[] = [];
  return {
    open: async <C>(journal: JournalOptions<C>): Promise<Journal<C>> => {
      const made = new ObjectJournal<C>(options, journal);
      await made.load();
      opened.push(made as unknown as ObjectJournal<unknown>);
      return made;
    },
    async settled() {
      await Promise.all(opened.map((journal) => journal.settled()));
    },
  };
}

class ObjectJournal<C> implements Journal<C> {
  readonly #objects: Objects;
  readonly #clock: () => number;
  readonly #checkpointEvery: number;
  readonly #fromCheckpoints: boolean;
  readonly #options: JournalOptions<C>;
  readonly #turns = new Turns();
  #number = 0;
  #waiting: Request<C>[] = [];
  #scheduled = false;
  /** Number and lines of the last checkpoint that is known. */
  #checkpoint = { number: 0, lines: 0 };

  constructor(
    { objects, clock = Date.now, checkpointEvery = usualCheckpointEvery, fromCheckpoints = true }: JournalsOptions,
    options: JournalOptions<C>,
  ) {
    this.#objects = objects;
    this.#clock = clock;
    this.#checkpointEvery = checkpointEvery;
    this.#fromCheckpoints = fromCheckpoints;
    this.#options = options;
  }

  get number(): number {
    return this.#number;
  }

  isCurrent(): boolean {
    try {
      return !this.#objects.existsNow(this.#nameOf(this.#number + 1));
    } catch {
      // Nobody knows; `catchUp` says why.
      return false;
    }
  }

  async catchUp(): Promise<void> {
    if (!this.isCurrent()) await this.#alone(() => this.#readOn());
  }

  append(
    turn: string,
    signature: Signature,
    make: () => C | undefined | Promise<C | undefined>,
  ): Promise<Written<C> | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ turn, signature, make, resolve, reject });
      this.#schedule();
    });
  }

  async *history(before?: number): AsyncIterable<Written<C>> {
    if (before === undefined) await this.catchUp();
    for (let number = Math.min((before ?? Number.POSITIVE_INFINITY) - 1, this.#number); number >= 1; number -= 1) {
      const object = await this.#read(number);
      if (!object) throw this.#unreadable(number, 'it is missing');
      yield* [...writtenIn(number, object)].reverse();
    }
  }

  /** Everything there is: from the newest good checkpoint on, or from the first object. */
  async load(): Promise<void> {
    if (!isSafePath(this.#options.name)) throw new Error(`no journal can be called ${this.#options.name}`);
    const last = await this.#lastNumber();
    if (this.#fromCheckpoints) await this.#restore(last);
    await this.#readOn();
    // A number that is free though later ones are not would be given away once more, in front of them.
    if (this.#number < last) throw this.#unreadable(this.#number + 1, `it is missing, and ${last} is there`);
    this.#checkpointIfDue();
  }

  async settled(): Promise<void> {
    do {
      await this.#alone(async () => {});
      // What ended just now may have put something behind us.
      await this.#alone(async () => {});
    } while (this.#scheduled);
  }

  /** Reading and writing change what is applied, so they happen one after the other. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.take('', work);
  }

  #nameOf(number: number): string {
    return journalObjectName(this.#options.name, number);
  }

  async #lastNumber(): Promise<number> {
    let last = 0;
    try {
      for await (const name of this.#objects.names(`${journalPrefix}/${this.#options.name}`)) {
        const isObject = !name.startsWith(`${checkpointsPrefix(this.#options.name)}/`);
        if (isObject) last = Math.max(last, numberOfName(name) ?? 0);
      }
    } catch (error) {
      throw this.#unreadable(1, describe(error), error);
    }
    return last;
  }

  async #restore(last: number): Promise<void> {
    const { name, restore } = this.#options;
    if (!restore) return;
    // One beyond the last object knows of changes that the journal does not have: an older journal was put back.
    const found = await newestCheckpoint(this.#objects, name, last);
    if (!found) return;
    try {
      restore(found.values());
      this.#number = found.number;
      this.#checkpoint = { number: found.number, lines: found.lines };
    } catch (error) {
      publish('fault', { where: 'journal', error });
      restore([]);
    }
  }

  /** Applies what is there and not applied yet. */
  async #readOn(): Promise<void> {
    for (let ahead = 1; this.#isNextThere(); ahead = Math.min(ahead * 2, mostReadAhead)) {
      const first = this.#number + 1;
      const reads = Array.from({ length: ahead }, (_, place) => this.#read(first + place));
      for (const [place, read] of (await Promise.allSettled(reads)).entries()) {
        if (read.status === 'rejected') throw read.reason;
        if (!read.value) break;
        this.#apply(first + place, read.value);
      }
    }
  }

  #isNextThere(): boolean {
    try {
      return this.#objects.existsNow(this.#nameOf(this.#number + 1));
    } catch (error) {
      throw this.#unreadable(this.#number + 1, describe(error), error);
    }
  }

  #apply(number: number, object: JournalObject<C>): Written<C>[] {
    const written = [...writtenIn(number, object)];
    for (const one of written) this.#options.apply(one);
    this.#number = number;
    return written;
  }

  /** `undefined`: there is none with this number. */
  async #read(number: number): Promise<JournalObject<C> | undefined> {
    let bytes: Buffer | undefined;
    try {
      bytes = await this.#objects.read(this.#nameOf(number));
    } catch (error) {
      throw this.#unreadable(number, describe(error), error);
    }
    return bytes && this.#parse(number, bytes.toString());
  }

  #parse(number: number, text: string): JournalObject<C> {
    let object: Partial<JournalObject<C>> | undefined;
    try {
      object = JSON.parse(text);
    } catch (error) {
      throw this.#unreadable(number, 'it is no JSON', error);
    }
    if (typeof object?.v === 'number' && object.v > objectVersion) {
      throw this.#unreadable(number, `a newer version of Larder wrote it (v ${object.v}); run that one`);
    }
    if (object?.v !== objectVersion || typeof object.writer !== 'string' || !Array.isArray(object.changes)) {
      throw this.#unreadable(number, 'it is no object of a journal');
    }
    return object as JournalObject<C>;
  }

  #unreadable(number: number, why: string, cause?: unknown): Problem {
    const message =
      `Object ${number} of the journal of ${this.#options.name} can't be read: ${why}. Nothing after it is known, so nothing ` +
      `is published there until ${this.#nameOf(number)} in the data folder is readable again; if it is damaged, put it back from a backup.`;
    return new Problem('storage_unavailable', message, cause === undefined ? {} : { cause });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    void this.#alone(async () => {
      // Those that come at the same moment come along.
      await undefined;
      this.#scheduled = false;
      const requests = this.#nextTogether();
      try {
        await this.#write(requests);
      } catch (error) {
        for (const { reject } of requests) reject(error);
      }
      if (this.#waiting.length > 0) this.#schedule();
    });
  }

  /** All that wait, but of each turn only the first: the next one is to see it. */
  #nextTogether(): Request<C>[] {
    const turns = new Set<string>();
    const now: Request<C>[] = [];
    const later: Request<C>[] = [];
    for (const request of this.#waiting) {
      if (turns.has(request.turn) || now.length >= mostChangesInOne) later.push(request);
      else now.push(request);
      turns.add(request.turn);
    }
    this.#waiting = later;
    return now;
  }

  async #write(requests: readonly Request<C>[]): Promise<void> {
    await this.#readOn();
    const made: Made<C>[] = [];
    for (const request of requests) {
      try {
        const change = await request.make();
        if (change === undefined) request.resolve(undefined);
        else made.push({ request, change });
      } catch (error) {
        request.reject(error);
      }
    }
    if (made.length === 0) return;
    const text = this.#textOf(made);
    const number = this.#number + 1;
    // What is applied now is what will be replayed.
    const object: JournalObject<C> = JSON.parse(text);
    // A look is cheaper than writing an object for nothing.
    if (this.isCurrent() && (await this.#create(number, object.writer, text))) {
      for (const [place, written] of this.#apply(number, object).entries()) made[place]?.request.resolve(written);
      this.#checkpointIfDue();
    } else this.#waiting.unshift(...made.map(({ request }) => request));
  }

  #textOf(made: readonly Made<C>[]): string {
    const object: JournalObject<C> = {
      v: objectVersion,
      writer: randomUUID(),
      at: new Date(this.#clock()).toISOString(),
      changes: made.map(({ request: { signature }, change }) => ({ ...signature, change })),
    };
    return JSON.stringify(object);
  }

  /** False: somebody else has the number. */
  async #create(number: number, writer: string, text: string): Promise<boolean> {
    const name = this.#nameOf(number);
    let failure: unknown;
    try {
      if (await this.#objects.create(name, Buffer.from(text))) return true;
    } catch (error) {
      failure = error;
    }
    // Taken, perhaps by ourselves: a file system that is asked twice over a network says so of its own first answer.
    const isOurs = (await this.#writerOf(number, failure)) === writer;
    if (failure === undefined) return isOurs;
    if (!isOurs) throw notWritten(failure);
    await this.#settle(number, failure);
    return true;
  }

  async #writerOf(number: number, failure: unknown): Promise<string | undefined> {
    try {
      return (await this.#read(number))?.writer;
    } catch (error) {
      throw failure === undefined ? error : unclear(failure);
    }
  }

  /** It is there for everybody to see, only its name may not be safe on the disk. */
  async #settle(number: number, failure: unknown): Promise<void> {
    try {
      await this.#objects.settle(this.#nameOf(number));
    } catch {
      throw unclear(failure);
    }
  }

  #checkpointIfDue(): void {
    const { number, lines } = this.#checkpoint;
    const every = Math.max(this.#checkpointEvery, lines / linesPerObject);
    if (this.#checkpointEvery === 0 || !this.#options.snapshot || this.#number - number < every) return;
    void this.#alone(() => this.#writeCheckpoint()).catch((error) => publish('fault', { where: 'journal', error }));
  }

  /** Nothing is applied while it is made; readers see what there is, and those who publish wait. */
  async #writeCheckpoint(): Promise<void> {
    const { name, snapshot } = this.#options;
    const number = this.#number;
    if (!snapshot || number <= this.#checkpoint.number) return;
    // Tried again only when the next one is due, whatever comes of it.
    this.#checkpoint = { number, lines: this.#checkpoint.lines };
    for await (const other of this.#objects.names(checkpointsPrefix(name))) {
      // Another process was faster.
      if (number - (numberOfName(other) ?? 0) < this.#checkpointEvery) return;
    }
    let lines = 0;
    const pieces = encodeCheckpoint(name, number, snapshot(), (count) => {
      lines = count;
    });
    await this.#objects.replace(checkpointName(name, number), pieces);
    this.#checkpoint = { number, lines };
    await removeOldCheckpoints(this.#objects, name);
  }
}

function* writtenIn<C>(number: number, { at, changes }: JournalObject<C>): Iterable<Written<C>> {
  for (const [index, { by, token, requestId, change }] of changes.entries()) {
    yield {
      number,
      index,
      at,
      by,
      ...(token === undefined ? {} : { token }),
      ...(requestId === undefined ? {} : { requestId }),
      change,
    };
  }
}

function describe(error: unknown): string {
  return codeOf(error) ?? String(error);
}

function notWritten(cause: unknown): Problem {
  const message = `Nothing was changed: it can't be written to the storage now (${describe(cause)}). Try again later; the log says more.`;
  return new Problem('storage_unavailable', message, { cause });
}

function unclear(cause: unknown): Problem {
  const message = `The storage failed while this was being written (${describe(cause)}), so it may have happened or not. Look before you try again.`;
  return new Problem('storage_unavailable', message, { cause });
}
